"""Recorded lives against today's code: what was begun under old code must go on under new."""
