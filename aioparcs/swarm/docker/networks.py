"""Networks: those that the leader knows, of the Swarm and its own."""

from __future__ import annotations

from typing import cast

from aiodocker import Docker

from aioparcs.swarm.docker.endpoint import DockerEndpoint, cluster_errors
from aioparcs.swarm.docker.records import Record, SwarmNetwork

__all__ = ["NetworkClient"]


class NetworkClient:
    """
    The part of `SwarmClient` for networks, with its errors.

    Args:
        docker: an open client.
        leader: where it is.
    """

    def __init__(self, docker: Docker, leader: DockerEndpoint) -> None:
        self._docker = docker
        self._leader = leader

    async def list(self) -> list[SwarmNetwork]:
        """Return all of them."""
        with cluster_errors(self._leader):
            return cast("list[SwarmNetwork]", await self._docker.networks.list())

    async def find(self, name: str) -> SwarmNetwork | None:
        """Return the network of that name, or None."""
        with cluster_errors(self._leader):
            found = cast("list[SwarmNetwork]", await self._docker.networks.list(filters={"name": [name]}))
        exact = [one for one in found if one["Name"] == name]  # the filter takes parts of names too
        return exact[0] if exact else None

    async def create(self, spec: Record) -> None:
        """Create a network."""
        with cluster_errors(self._leader):
            await self._docker.networks.create(dict(spec))
