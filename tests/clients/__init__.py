"""Independent clients, unmodified, against the sandbox; what they need may be absent."""
