"""The outside world, simulated in its own process and database; nothing of the platform."""
