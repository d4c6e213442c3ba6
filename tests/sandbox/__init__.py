"""Tests of the outside world: each drives the sandbox as a process of its own."""
