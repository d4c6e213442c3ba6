"""What is true: pure rules of money, ids, states, prices and matching; no clock, randomness or I/O."""
