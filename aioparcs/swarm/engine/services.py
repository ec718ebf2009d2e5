"""The Swarm services of one job: created and removed, whatever is cancelled meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from aioparcs.errors import StartError
from aioparcs.swarm.docker.client import SwarmClient
from aioparcs.swarm.docker.records import ServiceSpec

__all__ = ["JobServices"]


class JobServices:
    """
    The Swarm services that a runner has created, each known by its first launcher.

    Args:
        swarm: the leader.
    """

    def __init__(self, swarm: SwarmClient) -> None:
        self._swarm = swarm
        self._ids: dict[int, str] = {}
        self._names: dict[int, str] = {}  # of all of them, also those whose start was cancelled
        # Not in a task group, whose end cancels: Docker creates the service all the same, and `remove_all` has to know.
        self._requests: set[asyncio.Task[str]] = set()
        self._closed = False

    def __getitem__(self, launcher: int) -> str:
        """Return the ID of the service that begins with a launcher."""
        return self._ids[launcher]

    async def create(self, launcher: int, spec: ServiceSpec, headers: dict[str, str]) -> str:
        """
        Create a service, and return its ID. Cancelling it still creates the service, which `aclose` removes.

        Raises:
            StartError: the runner has ended.
            ClusterError: Docker refuses.
        """
        if self._closed:
            raise StartError(spec["Name"], "its runner has ended")
        self._names[launcher] = spec["Name"]  # before: Docker may make it and the answer be lost
        request = asyncio.ensure_future(self._swarm.create_service(spec, headers))
        self._requests.add(request)
        request.add_done_callback(self._requests.discard)
        self._ids[launcher] = await asyncio.shield(request)
        return self._ids[launcher]

    async def remove(self, launcher: int) -> None:
        """Remove a service; its containers end within seconds."""
        if service := self._ids.get(launcher):
            await self._swarm.remove_service(service)

    def forget(self, launcher: int) -> None:
        """Forget a service that was removed: a job may start workers for days."""
        self._ids.pop(launcher, None)
        self._names.pop(launcher, None)

    def close(self) -> None:
        """Refuse to create more."""
        self._closed = True

    async def remove_all(self, removed: Callable[[str], None]) -> list[BaseException]:
        """
        Remove all services, also those that are being created; return the failures.

        Args:
            removed: called with the name of each that is gone.
        """
        await asyncio.gather(*self._requests, return_exceptions=True)

        async def remove(name: str) -> None:
            await self._swarm.remove_service(name)
            removed(name)

        results = await asyncio.gather(*map(remove, self._names.values()), return_exceptions=True)
        return [result for result in results if result is not None]
