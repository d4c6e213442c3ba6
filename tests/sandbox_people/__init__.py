"""Tests of the sandbox's people; what needs a running stack is marked `stack`."""
