"""The runner's record of a service that starts services: its control connection, and the workers it has started."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from aioparcs.address import Address
from aioparcs.channel import FrameConnection
from aioparcs.engine import WorkerGroup
from aioparcs.errors import WorkerLost
from aioparcs.messages.fields import Message
from aioparcs.messages.spawn import ChildExited, ChildStarted, Loss, StartFailure

__all__ = ["PendingSpawn", "SpawnSession", "SpawnedWorker"]


class PendingSpawn(NamedTuple):
    """Workers that the engine has placed, until the service that requested them expects their connections."""

    group: WorkerGroup
    address: Address


class SpawnSession:
    """
    One service's control connection.

    Args:
        worker: the worker's number.
        link: its control connection.
        most: how many requests may be under way at once; the next one is not read before.

    Attributes:
        placed: the workers whose launchers have not been asked yet, and have not ended, by the number of the request.
        newest: the number of its last request.
        requests: bounds the requests that are under way at once.
    """

    def __init__(self, worker: int, link: FrameConnection, most: int) -> None:
        self.worker = worker
        self.link = link
        self.placed: dict[int, PendingSpawn] = {}
        self.newest = -1
        self.requests = asyncio.Semaphore(most)

    def send(self, message: Message) -> None:
        """Send the service a message, if it is still connected."""
        self.link.post_frame(*message.encode())


class SpawnedWorker:
    """
    The handle on a worker that a service has started: the service has its channel, and is sent its start, node and end.

    Args:
        module, worker: see the attributes.
        session: the service's control connection.
        request: the number of the service's request.

    Attributes:
        module: the name of its module.
        worker: its number in the job.
        unsent_results: see `WorkerHandle`.
    """

    def __init__(self, module: str, worker: int, session: SpawnSession, request: int) -> None:
        self.module = module
        self.worker = worker
        self.unsent_results = b""
        self._session = session
        self._request = request
        self._node = ""

    @property
    def node(self) -> str:
        """The machine that it runs on, "" if there is only one or it isn't known yet."""
        return self._node

    @node.setter
    def node(self, node: str) -> None:
        self._node = node
        self._session.send(ChildStarted(self.worker, node, None))

    def fail_start(self, reason: str, last_lines: tuple[str, ...] = ()) -> None:
        """Report to the service that its start has failed."""
        self._session.send(ChildStarted(self.worker, self._node, StartFailure.of(reason, last_lines)))

    def end(self, lost: WorkerLost | None, *, cut: bool = False) -> None:
        """Report to the service that it is gone; see `WorkerHandle.end`."""
        self._session.placed.pop(self._request, None)  # those that were not asked for end all at once
        how = None if lost is None else Loss.of(lost)
        self._session.send(ChildExited(self.worker, how, cut, self.unsent_results))
