"""Clients that nobody here wrote, unmodified, against the sandbox; and our requests elsewhere."""
