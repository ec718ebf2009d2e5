"""The engine of a Docker Swarm, and how its leader is reached."""

from aioparcs.swarm.leader import open_docker

__all__ = ["open_docker"]
