"""Tests of the room `cli`: how a person drives the stack; not what the stack does."""
