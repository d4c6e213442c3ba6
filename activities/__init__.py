"""One durable act each: one service call, one commit, one idempotency key."""
