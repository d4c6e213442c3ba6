"""What we hold and whom we call: tables, transactions, gateways, Redis, settings."""
