"""Tests of durable acts."""
