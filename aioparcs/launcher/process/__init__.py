"""A worker's process: its setup before its program, and its end after it."""
