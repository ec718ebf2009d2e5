"""Checks of a Swarm that jobs are to run on, with advice for what fails."""
