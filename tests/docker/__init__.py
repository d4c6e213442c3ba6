"""Mirrors docker/: what is configured there is checked by the tools that will read it."""
