"""Stripe's PaymentIntents as merchants see them: wire and rules, nothing of the platform."""
