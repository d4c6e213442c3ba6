"""The sandbox's bank: a licensed partner of its own making, since no public protocol exists."""
