"""The agent of a launcher, and the output of workers that it reads."""
