"""The client of Docker's API, for all of the Swarm's code."""
