"""The engine of a Docker Swarm, and how its leader is reached."""

from aioparcs.swarm.api import Swarm, open_swarm
from aioparcs.swarm.engine import SwarmEngine
from aioparcs.swarm.leader import open_docker

__all__ = ["Swarm", "SwarmEngine", "open_docker", "open_swarm"]
