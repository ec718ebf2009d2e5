"""The engine of a Docker Swarm, and the client of its leader."""

from aioparcs.swarm.docker.client import SwarmClient, open_swarm
from aioparcs.swarm.docker.endpoint import open_docker
from aioparcs.swarm.engine.engine import SwarmEngine

__all__ = ["SwarmClient", "SwarmEngine", "open_docker", "open_swarm"]
