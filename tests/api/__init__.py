"""The edge over HTTP: in this process, on a real PostgreSQL and Valkey."""
