"""Tests of the card channel: against the sandbox as a process, and webhooks of any kind."""
