"""Tests, mirrored to the rooms."""
