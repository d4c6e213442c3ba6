"""What happens, as it happens: WebSocket, SSE and long poll; a process of its own, or the API's."""
