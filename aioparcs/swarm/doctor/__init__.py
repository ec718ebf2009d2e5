"""Checks of a Swarm: whether jobs can run on it, and what to do where they can't."""
