"""The engine of a Docker Swarm: workers as its services."""
