"""The text of the notice that ends the details of a history."""

__all__ = ["FULL"]

FULL = "this history is full: from here on it has no calls and no output, but workers and pools as before"
