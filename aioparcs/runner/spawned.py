"""The runner's record of a service that starts services: its control connection, and the workers it has started."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from aioparcs.address import Address
from aioparcs.channel import FrameConnection
from aioparcs.engine import WorkerGroup
from aioparcs.errors import StartError, WorkerLost
from aioparcs.messages.fields import Message
from aioparcs.messages.spawn import ChildExited, ChildStarted, Loss, StartFailure

__all__ = ["PendingSpawn", "SpawnSession", "SpawnedWorker"]


class PendingSpawn(NamedTuple):
    """Workers that the engine has placed, until the service that asked for them expects their connections."""

    group: WorkerGroup
    children: list[SpawnedWorker]
    address: Address


class SpawnSession:
    """
    One service's control connection, and the workers that it has started.

    Args:
        worker: the worker's number.
        depth: which generation it is; what the runner starts itself is the first.
        link: its control connection.
        most: how many requests may be under way at once; the next one is not read before.

    Attributes:
        children: the workers that it has started and that aren't gone, by number.
        placed: those whose launchers have not been asked yet, by the number of the request.
        newest: the number of its last request.
        requests: keeps what it asks for at once within bounds.
        is_over: True once no more can be started, and all that was is being killed.
    """

    def __init__(self, worker: int, depth: int, link: FrameConnection, most: int) -> None:
        self.worker = worker
        self.depth = depth
        self.link = link
        self.children: dict[int, SpawnedWorker] = {}
        self.placed: dict[int, PendingSpawn] = {}
        self.newest = -1
        self.requests = asyncio.Semaphore(most)
        self.is_over = False

    def send(self, message: Message) -> None:
        """Send the service a message, if it is still connected."""
        self.link.post_frame(*message.encode())


class SpawnedWorker:
    """
    A worker that a service has started: the service has its channel, and is sent its start, node and end.

    Attributes:
        module: the name of its module.
        worker: its number in the job.
        branch: the service that has started it.
        launcher: the slot of the launcher that it is a child of.
        unsent_results: see `WorkerHandle`.
        is_connected: True once the service has its channel.
    """

    def __init__(self, module: str, worker: int, branch: SpawnSession) -> None:
        self.module = module
        self.worker = worker
        self.branch = branch
        self.launcher = -1
        self.unsent_results = b""
        self.is_connected = False
        self.start_error: StartError | None = None
        self._node = ""

    @property
    def name(self) -> str:
        """``module:worker``, with its node if that is known."""
        name = f"{self.module}:{self.worker}"
        return f"{name} on {self._node}" if self._node else name

    @property
    def node(self) -> str:
        """The machine that it runs on, "" if there is only one or it isn't known yet."""
        return self._node

    @node.setter
    def node(self, node: str) -> None:
        if node != self._node:
            self._node = node
            self.branch.send(ChildStarted(self.worker, node, None))

    def fail_start(self, reason: str, last_lines: tuple[str, ...] = ()) -> None:
        """Report to the service that its start has failed."""
        if not self.is_connected and self.start_error is None:
            self.start_error = StartError(self.module, reason, last_lines)
            self.branch.send(ChildStarted(self.worker, self._node, StartFailure.of(reason, last_lines)))

    def end(self, lost: WorkerLost | None, *, cut: bool = False) -> None:
        """Report to the service that it is gone; see `WorkerHandle.end`."""
        if self.branch.children.pop(self.worker, None):
            how = None if lost is None else Loss.of(lost)
            self.branch.send(ChildExited(self.worker, how, cut, self.unsent_results))
