"""The handle on one worker, for those who start and supervise it: its start, its channel and its end."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Sequence
from typing import Protocol

from aioparcs import deadlines
from aioparcs.channel import Channel, read_unsent
from aioparcs.errors import (
    CallTimeout,
    ConnectionLost,
    EndOfChannel,
    ParcsError,
    RemoteError,
    StartError,
    WorkerLost,
    fresh,
    set_worker,
)
from aioparcs.settings import Settings
from aioparcs.shared import KeptMemory
from aioparcs.task.trace import TaskTrace
from aioparcs.telemetry import present_context

__all__ = ["UNEXPLAINED", "WorkerHandle", "WorkerOwner"]

# What is said better with the launcher's word for it; see `WorkerHandle.explain`.
UNEXPLAINED = (ConnectionLost, RemoteError, EndOfChannel)


class WorkerOwner(Protocol):
    """The owner of a worker that has started it: a runner's supervisor, or a service."""

    def kill(self, task: WorkerHandle, number: int) -> None:
        """End a worker by a signal, through its launcher."""

    def can_keep(self, task: WorkerHandle) -> bool:
        """Return whether a worker's launcher keeps memory for its workers."""

    async def keep(self, task: WorkerHandle, views: Sequence[memoryview]) -> KeptMemory | None:
        """Send copies of buffers to a worker's launcher, whose workers map them; return None if it can't keep them."""


class WorkerHandle:
    """
    One worker, from the request for it until it is gone. Its `Task` is what the user gets once it is connected.

    Args:
        module, worker, rank, size, owner: see the attributes.
        settings: limits and deadlines.

    Attributes:
        module: the name of the worker's module.
        worker: its number in the job.
        rank: its number among those started together, from 0.
        size: how many were started together.
        owner: who has started it.
        node: the machine that it runs on, "" if there is only one or it isn't known yet.
        launcher: the slot of the launcher that it is a child of.
        channel: the channel to it, once it is connected; it doesn't know why its worker is gone.
        close_timeout: seconds that it gets to finish, see `shutdown`.
        start_error: why its start failed, or None.
        unsent_results: frames of results that it had made when it died, and perhaps not sent.
        trace: notes the calls of its task; None where no subscriber of events wants calls.
        trace_context: that of the span in which it was started, None where there is none.
    """

    channel: Channel

    def __init__(
        self,
        module: str,
        worker: int,
        rank: int,
        size: int,
        settings: Settings,
        owner: WorkerOwner,
    ) -> None:
        self.module = module
        self.worker = worker
        self.rank = rank
        self.size = size
        self.node = ""
        self.launcher = -1
        self.close_timeout = settings.close_timeout
        self.start_error: StartError | None = None
        self.unsent_results = b""
        self.trace: TaskTrace | None = None
        self.trace_context = present_context()
        self.owner = owner
        loop = asyncio.get_running_loop()
        self._started: asyncio.Future[None] = loop.create_future()  # or its start has failed
        self._exited: asyncio.Future[WorkerLost | None] = loop.create_future()

    @property
    def name(self) -> str:
        """``module:worker``, and on which node if that is known."""
        name = f"{self.module}:{self.worker}"
        return f"{name} on {self.node}" if self.node else name

    @property
    def state(self) -> str:
        """``starting``, the state of its channel (see `Statistics`), or ``gone``."""
        if self._exited.done():
            return "gone"
        return self.channel.statistics().state if self.is_connected else "starting"

    @property
    def is_connected(self) -> bool:
        """True once the worker has dialled in, also when it is gone again."""
        return self._started.done() and self.start_error is None

    @property
    def is_over(self) -> bool:
        """True when the worker is gone and its channel is closed."""
        return self._exited.done() and (not self.is_connected or self.channel.statistics().state == "closed")

    # The start

    def connect(self, channel: Channel) -> bool:
        """Set the channel to the worker; return False when there is one already, or the start has failed."""
        if self._started.done():
            return False
        self.channel = channel
        self._started.set_result(None)
        return True

    def fail_start(self, reason: str, last_lines: tuple[str, ...] = ()) -> None:
        """Fail the start: the callers who wait for it get a `StartError`."""
        if not self._started.done():
            self.start_error = StartError(self.module, reason, last_lines)
            self._started.set_result(None)

    def on_start_done(self, callback: Callable[[WorkerHandle], object]) -> None:
        """Call ``callback`` once, when the worker is connected or its start has failed."""
        self._started.add_done_callback(lambda _: callback(self))

    async def wait_connected(self) -> None:
        """
        Wait until the worker has dialled in. Cancelling it changes nothing.

        Raises:
            StartError: its start has failed.
        """
        await asyncio.shield(self._started)
        if self.start_error is not None:
            raise fresh(self.start_error)

    # The end

    def end(self, lost: WorkerLost | None, *, cut: bool = False) -> None:
        """
        Record that the worker is gone.

        Args:
            lost: why, or None for a clean end.
            cut: True when nothing more of its stream will come, not even its end.
        """
        if not self._exited.done():
            self._exited.set_result(lost)
        if cut and lost is not None and self.is_connected:
            self.channel.abort(lost)

    async def detach(self) -> None:
        """Close the channel at once: the job is over."""
        self.fail_start("its runner has ended")
        self.end(None)
        if self.is_connected:
            self.channel.abort()
            await self.channel.aclose()

    async def shutdown(self) -> None:
        """
        End the channel and wait for the worker to finish; after ``close_timeout`` seconds it is killed.

        Cancelling it kills the worker at once.
        """
        if self._exited.done():
            await self.channel.aclose()
            return
        try:
            async with asyncio.timeout(self.close_timeout):
                await self.channel.aclose(None)
                await asyncio.shield(self._exited)
        except TimeoutError:
            self.owner.kill(self, signal.SIGTERM)
            await self._wait_killed()
        except BaseException:
            self.owner.kill(self, signal.SIGKILL)
            self.channel.abort()
            raise

    async def kill(self) -> None:
        """End the worker at once, and wait until it is gone."""
        self.abort()
        await self._wait_killed()

    def abort(self) -> None:
        """End the worker at once, without waiting for anything."""
        if not self._exited.done():
            self.owner.kill(self, signal.SIGKILL)
        if self.is_connected:
            self.channel.abort()

    async def _wait_killed(self) -> None:
        """Wait for the launcher's report; one whose host is silent sends none until it counts as lost."""
        await asyncio.wait([self._exited], timeout=deadlines.KILL_REPORT)

    async def wait_exited(self) -> WorkerLost | None:
        """
        Wait until the worker is gone and everything that it sent has arrived; return None after a clean end.

        Cancelling it changes nothing.
        """
        lost = await asyncio.shield(self._exited)
        if self.is_connected:
            await self.channel.connection.wait_ended(deadlines.LAUNCHER_EXPLANATION)
        return lost

    def locate(self, error: CallTimeout) -> CallTimeout:
        """Return an error that also says where its call ran."""
        error.worker, error.node = self.name, self.node
        return error

    def timed_out(self, call_id: int) -> CallTimeout | None:
        """Return the error of a call with which the worker has ended at its time limit, None if it ended otherwise."""
        for other, _, error in read_unsent(self.unsent_results) or ():
            if other == call_id and isinstance(error, CallTimeout):
                return self.locate(error)
        return None

    async def explain(self, error: ParcsError) -> ParcsError:
        """Return an error that says more than the channel's: the worker's name, and the launcher's report."""
        if isinstance(error, RemoteError):
            set_worker(error, self.name)
            return error
        # Version 1 has no goodbye: there the end of the stream may be a clean end or the worker's death.
        is_goodbye = isinstance(error, EndOfChannel) and self.channel.connection.version > 1
        if isinstance(error, WorkerLost) or is_goodbye:
            return error
        await asyncio.wait([self._exited], timeout=deadlines.LAUNCHER_EXPLANATION)
        if not self._exited.done():
            return type(error)(f"worker {self.name}: {error}")
        lost = self._exited.result()
        if lost is None and isinstance(error, EndOfChannel):
            return error
        return fresh(lost) if lost else WorkerLost.from_exit(self.name, 0)
