"""Positions in Redis."""
