"""Tests of our clients against checks that others have made."""
