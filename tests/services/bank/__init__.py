"""Tests of the bank's client, against the real sandbox process."""
