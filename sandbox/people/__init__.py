"""Customers, merchants and riders: clients of the public API with settable habits; no rules."""
