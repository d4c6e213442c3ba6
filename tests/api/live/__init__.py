"""Live connections, on a real server with real parts behind it."""
