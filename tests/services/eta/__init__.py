"""Tests of what orders teach, and of who answers how long the next one takes."""
