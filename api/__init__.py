"""Who asks: the HTTP and WebSocket edge; no business rules."""
