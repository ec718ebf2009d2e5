"""The inputs and outputs of a run: sent to a submitted runner and fetched from it, checked at both ends."""
