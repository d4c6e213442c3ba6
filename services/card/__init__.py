"""International cards by Stripe's PaymentIntents, spoken as a payee; no rule of ours on money."""
