"""Programs that print measured results."""
