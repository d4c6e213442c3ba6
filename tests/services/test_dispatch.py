"""Dispatch on a real PostgreSQL: claims are atomic, offers are fenced, silence has an end."""
