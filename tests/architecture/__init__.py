"""Tests of the house itself: its doors, its contracts, its names."""
