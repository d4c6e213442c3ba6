"""What is true: pure rules of money, ids, states, prices; no clock, randomness or I/O."""
