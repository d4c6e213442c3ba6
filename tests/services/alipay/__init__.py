"""Tests of the Alipay client, alone and against the sandbox as a process of its own."""
