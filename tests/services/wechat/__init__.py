"""Tests of the WeChat Pay client: pure ones, and a contract that any gateway must pass."""
