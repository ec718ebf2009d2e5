"""The texts of the notices with which a history becomes shorter."""

__all__ = ["FULL", "OVER"]

FULL = "this history is full: from here on it has no calls and no output, but workers and pools as before"
OVER = "this history has no more room: from here on it has only the numbers of pools, and how the program ends"
