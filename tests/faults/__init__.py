"""What is killed on the running stack, and what must be true afterwards."""
