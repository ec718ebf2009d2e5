"""The client side of spawning: a service requests workers from the runner, and they connect to the service."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Sequence
from typing import NamedTuple

from aioparcs import deadlines
from aioparcs.auth import Role
from aioparcs.channel import CONTROL_BODY, FrameConnection, control_link
from aioparcs.cpus import usable_cpus
from aioparcs.engine import WorkerSpec
from aioparcs.engine.options import check_for_service
from aioparcs.errors import (
    ConnectionLost,
    HandshakeError,
    ParcsError,
    ProtocolError,
    SettingError,
    StartError,
    WorkerLost,
)
from aioparcs.events import Event, EventBus, Notice
from aioparcs.launcher.connect import connect
from aioparcs.messages.spawn import (
    ChildConnected,
    ChildExited,
    ChildStarted,
    KillChild,
    Spawn,
    Spawned,
    SpawnExpected,
    SpawnReport,
    read_spawn_report,
)
from aioparcs.service.peer_endpoint import PeerEndpoint
from aioparcs.shared import KeptMemory
from aioparcs.task import WorkerHandle, check_file_limit
from aioparcs.transport import keep_alive, raise_file_limit

__all__ = ["SpawnClient"]


class _Request(NamedTuple):
    """The request of one start."""

    module: str
    size: int
    placed: asyncio.Future[list[WorkerHandle]]


class SpawnClient:
    """
    All workers that one service starts.

    Args:
        endpoint: where they come in; it knows the runner as well.

    Attributes:
        events: the bus of its pools, whose progress is shown nowhere: displays show the runner's own pools.
    """

    def __init__(self, endpoint: PeerEndpoint) -> None:
        self.events = EventBus(_print_notice)
        self._endpoint = endpoint
        self._settings = endpoint.settings
        self._tasks: dict[int, WorkerHandle] = {}
        self._requests: dict[int, _Request] = {}
        self._next_request = 0
        self._link: FrameConnection | None = None
        self._opening: asyncio.Task[None] | None = None
        self._listening: asyncio.Task[None] | None = None

    async def default_size(self, spec: WorkerSpec) -> int:
        """
        Return the size of a pool whose user has chosen none: as many as this machine has CPUs for.

        Raises:
            StartError: the workers are not on this machine.
        """
        if self._endpoint.runner.address.scheme != "unix":
            reason = "a service doesn't know how many CPUs the cluster has: give its pool a size"
            raise StartError(spec.module, reason)
        return max(1, int(usable_cpus() / (spec.cpus or 1)))

    async def place(self, spec: WorkerSpec, count: int) -> list[WorkerHandle]:
        """
        Send the runner a request for workers; returns before they are connected.

        Cancelling it kills them.

        Raises:
            StartError: it is certain that they can't run, or the runner doesn't let services start them.
        """
        check_for_service(spec)
        check_file_limit(spec.module, len(self._tasks) + count)
        try:
            link = await self._open()
            address = await self._endpoint.address()
        except (ConnectionLost, HandshakeError, SettingError) as error:
            raise StartError(
                spec.module, f"can't send the request to the runner, or can't listen for the workers: {error}"
            ) from error
        number, self._next_request = self._next_request, self._next_request + 1
        placed: asyncio.Future[list[WorkerHandle]] = asyncio.get_running_loop().create_future()
        type, body = Spawn(number, spec.module, count, spec.request, str(address)).encode()
        if len(body) > CONTROL_BODY:
            raise StartError(spec.module, f"its env= takes {len(body):,} bytes; {CONTROL_BODY:,} is the limit")
        self._requests[number] = _Request(spec.module, count, placed)
        link.post_frame(type, body)
        try:
            return await placed
        except asyncio.CancelledError:
            if not placed.cancelled():  # it came at the same moment
                self._kill_all(placed.result())
            raise

    async def replace(self, spec: WorkerSpec, task: WorkerHandle) -> WorkerHandle:
        """Start a worker in place of one that is gone; see `place`."""
        return (await self.place(spec, 1))[0]

    def can_keep(self, task: WorkerHandle) -> bool:
        """Return False: a service has no connection to the launchers of its workers."""
        return False

    async def keep(self, task: WorkerHandle, views: Sequence[memoryview]) -> KeptMemory | None:
        """Return None; see `can_keep`."""

    def discard(self, task: WorkerHandle) -> None:
        """Release what was kept for a worker's replacement; see `release`."""

    def release(self) -> None:
        """Release what was kept for replacements: nothing, since the runner keeps nothing for a service."""

    async def aclose(self) -> None:
        """Wait for all workers to finish, for at most ``close_timeout`` seconds. Cancelling it kills them."""
        if self._link is None:
            self.abort()
            return
        try:
            tasks = list(self._tasks.values())
            await asyncio.gather(*(task.shutdown() if task.is_connected else task.kill() for task in tasks))
            await self._link.aclose(deadlines.CONTROL_CLOSE)
        finally:
            self.abort()

    def abort(self) -> None:
        """End the connection to the runner, which kills all that is left at once."""
        for task in (self._opening, self._listening):
            if task:
                task.cancel()
        if self._link:
            self._link.abort()

    async def _open(self) -> FrameConnection:
        """
        Return the connection to the runner; connect first if there is none.

        Cancelling it leaves the attempt to the next start: the runner accepts a service's connection only once, and
        may have accepted this one already.
        """
        while self._link is None:
            if self._opening is None or self._opening.done():
                self._opening = asyncio.create_task(self._connect())
                self._opening.add_done_callback(_retrieve)
            opening = self._opening
            await asyncio.wait([opening])
            opening.result()
        if self._listening and self._listening.done():
            raise ConnectionLost("the connection to it has ended")
        return self._link

    async def _connect(self) -> None:
        """Connect to the runner, and begin to listen to it."""
        raise_file_limit()
        reader, writer, _ = await connect(self._endpoint.runner, Role.PARENT, self._endpoint.worker, self._settings)
        # No user timeout: this side may compute for long without reading.
        keep_alive(writer.transport, self._settings.liveness, user_timeout=False)
        self._link = control_link(reader, writer, self._settings)
        self._listening = asyncio.create_task(self._listen(self._link))

    async def _listen(self, link: FrameConnection) -> None:
        """Read the runner's frames until the connection ends."""
        try:
            while True:
                self._handle(link, read_spawn_report(await link.recv_frame()))
        except ParcsError as error:  # the end of the connection, mostly
            if isinstance(error, ProtocolError):
                link.abort()
            self._lose(f"the connection to the runner has ended: {error}")
        except Exception as error:
            asyncio.get_running_loop().call_exception_handler({"message": "reading from runner", "exception": error})
            link.abort()
            self._lose(f"the connection to the runner has ended: {type(error).__name__}: {error}")

    def _handle(self, link: FrameConnection, report: SpawnReport) -> None:
        match report:
            case Spawned():
                self._on_spawned(link, report)
            case ChildStarted() if task := self._tasks.get(report.worker):
                task.node = report.node
                if report.problem:
                    task.fail_start(report.problem.reason, tuple(report.problem.last_lines))
            case ChildExited() if task := self._tasks.pop(report.worker, None):
                task.unsent_results = report.results
                task.end(report.how.to_error(task.name) if report.how else None, cut=report.cut)

    def _on_spawned(self, link: FrameConnection, spawned: Spawned) -> None:
        request = self._requests.pop(spawned.id, None)
        if request is None:
            raise ProtocolError(f"SPAWNED answers request {spawned.id}, which is not waiting")
        module, size, placed = request
        if spawned.first is None:
            if spawned.error and not placed.done():
                error = StartError(module, spawned.error.reason, tuple(spawned.error.last_lines))
                placed.set_exception(error)
            return
        numbers = enumerate(range(spawned.first, spawned.first + size))
        tasks = [WorkerHandle(module, worker, rank, size, self._settings, self) for rank, worker in numbers]
        for task in tasks:
            self._expect(link, task)
        link.post_frame(*SpawnExpected(spawned.id).encode())
        if placed.done():
            self._kill_all(tasks)
        else:
            placed.set_result(tasks)

    def _expect(self, link: FrameConnection, task: WorkerHandle) -> None:
        self._tasks[task.worker] = task

        def report(task: WorkerHandle) -> None:
            self._endpoint.forget(task.worker)
            if task.is_connected:
                link.post_frame(*ChildConnected(task.worker).encode())

        self._endpoint.expect(task)
        task.on_start_done(report)

    def _lose(self, reason: str) -> None:
        """Mark all workers as lost; the runner, if it is still there, kills them."""
        for request in self._requests.values():
            if not request.placed.done():
                request.placed.set_exception(StartError(request.module, reason))
        self._requests.clear()
        for task in self._tasks.values():
            task.fail_start(reason)
            task.end(WorkerLost(task.name, f"is lost: {reason}"), cut=True)
        self._tasks.clear()

    def kill(self, task: WorkerHandle, number: int) -> None:
        """Ask the runner to end a worker by a signal."""
        if self._link:
            self._link.post_frame(*KillChild(task.worker, number).encode())

    def _kill_all(self, tasks: list[WorkerHandle]) -> None:
        for task in tasks:
            self.kill(task, signal.SIGKILL)


def _retrieve(opening: asyncio.Task[None]) -> None:
    """Mark the error of an opening as seen: those who waited for it may have been cancelled."""
    if not opening.cancelled():
        opening.exception()


def _print_notice(event: Event) -> None:
    """Print a text for people as any output of this worker; ignore other events."""
    if isinstance(event, Notice):
        print(f"{event.module}: {event.text}", file=sys.stderr)
