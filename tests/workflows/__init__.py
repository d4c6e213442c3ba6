"""Workflows and what they share."""
