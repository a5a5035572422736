"""A neighbour of talk, found relative to it."""

WORDS = ("one", "two")
