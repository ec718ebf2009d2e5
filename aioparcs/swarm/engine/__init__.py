"""The engine of a Docker Swarm, which runs launchers as the replicas of its services."""
