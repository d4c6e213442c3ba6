"""Entry points: the relay, the sweep, the queues."""
