"""The handle on one worker."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from typing import Any

from aioparcs import deadlines
from aioparcs.channel import Channel, Statistics
from aioparcs.errors import ConnectionLost, EndOfChannel, ParcsError, RemoteError, StartError, WorkerLost
from aioparcs.settings import Settings

__all__ = ["Task"]

# What is said better with the launcher's word for it.
_EXPLAINED = (ConnectionLost, RemoteError, EndOfChannel)


class Task:
    """
    One worker, with a channel of its own.

    As an async context manager it waits for the worker to finish when its block is left normally, for
    ``close_timeout`` seconds at most, and kills it when the block is left on an error.

    Attributes:
        module: the name of the worker's module.
        worker: its number in the job.
        rank: its number among those started together, from 0.
        size: how many were started together.
        node: the machine that it runs on, "" if there is only one or it isn't known yet.
        launcher: the slot of the launcher that it is a child of.
        unsent_results: frames of results that it had made when it died, and perhaps not sent.
    """

    def __init__(
        self, module: str, worker: int, rank: int, size: int, settings: Settings, kill: Callable[[Task, int], None]
    ) -> None:
        self.module = module
        self.worker = worker
        self.rank = rank
        self.size = size
        self.node = ""
        self.launcher = -1
        self.unsent_results = b""
        self._settings = settings
        self._kill = kill
        loop = asyncio.get_running_loop()
        self._connected: asyncio.Future[Channel] = loop.create_future()
        self._exited: asyncio.Future[WorkerLost | None] = loop.create_future()
        self._channel: Channel
        self._version = 2

    def __repr__(self) -> str:
        return f"<Task {self.name} {self.state}>"

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
        return self.statistics().state if self.is_connected else "starting"

    @property
    def is_connected(self) -> bool:
        """True once the worker has dialled in, also when it is gone again."""
        return self._connected.done() and self._connected.exception() is None

    @property
    def patience(self) -> float:
        """Seconds that the worker gets to finish, see `shutdown`."""
        return self._settings.close_timeout

    @property
    def is_over(self) -> bool:
        """True when the worker is gone and its channel is closed."""
        return self._exited.done() and (not self.is_connected or self.statistics().state == "closed")

    @property
    def channel(self) -> Channel:
        """The channel itself, for what is built upon it; it doesn't know why its worker is gone."""
        return self._channel

    @property
    def version(self) -> int:
        """The version of the wire that the worker speaks."""
        return self._version

    # Messages

    async def send(self, message: Any) -> None:
        """Send one message; see `Channel.send`. A worker that is gone is `WorkerLost`, with its last lines."""
        try:
            await self._channel.send(message)
        except _EXPLAINED as error:
            raise await self.explain(error) from error.__cause__

    async def send_all(self, *messages: Any) -> None:
        """Send several messages, one after the other; see `send`."""
        for message in messages:
            await self.send(message)

    async def send_eof(self) -> None:
        """End sending, so that the worker's ``async for`` ends; it can still answer."""
        await self._channel.send_eof()

    async def recv(self) -> Any:
        """
        Receive the next message; see `Channel.recv`.

        Cancelling it leaves the message first in line.

        Raises:
            WorkerLost: the worker is gone; says why, with its last lines.
            RemoteError: the worker's program failed; also the builtin exception that it was.
            EndOfChannel: the worker has ended its side, and everything that it sent was received.
        """
        try:
            return await self._channel.recv()
        except _EXPLAINED as error:
            raise await self.explain(error) from error.__cause__

    async def recv_into(self, buffer: Any) -> int:
        """Receive the next message, bytes or an array, into memory of your own; see `Channel.recv_into`."""
        try:
            return await self._channel.recv_into(buffer)
        except _EXPLAINED as error:
            raise await self.explain(error) from error.__cause__

    async def call(self, name: str, /, *args: Any, **kwargs: Any) -> Any:
        """Call one of the worker's functions; see `Channel.call`."""
        try:
            return await self._channel.call(name, *args, **kwargs)
        except _EXPLAINED as error:
            raise await self.explain(error) from error.__cause__

    async def wait_barrier(self) -> None:
        """
        Wait until the worker is at a barrier that it hasn't passed; see `collectives.barrier`.

        Raises:
            WorkerLost: it is gone, or has ended without coming.
            RemoteError: its program failed.
        """
        try:
            await self._channel.barriers.wait()
        except EndOfChannel as error:
            raise WorkerLost(self.name, "has ended without coming to the barrier") from error
        except _EXPLAINED as error:
            raise await self.explain(error) from error.__cause__

    def pass_barrier(self, broken: ParcsError | None = None) -> None:
        """Release the worker from its next barrier, now or when it comes; or raise an error in it there."""
        self._channel.barriers.release(broken)

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        try:
            return await self.recv()
        except EndOfChannel:
            raise StopAsyncIteration from None

    def statistics(self) -> Statistics:
        """Return the statistics of the channel to this worker; see `Statistics`."""
        return self._channel.statistics()

    @property
    def is_ready(self) -> bool:
        """True when `recv` would not wait."""
        return self._channel.is_ready

    def watch(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call ``callback`` whenever something arrives; returns what undoes it."""
        return self._channel.watch(callback)

    # Ends

    async def shutdown(self) -> None:
        """
        End the channel and wait for the worker to finish; after ``close_timeout`` seconds it is killed.

        Cancelling it kills the worker at once.
        """
        if self._exited.done():
            await self._channel.aclose()
            return
        try:
            async with asyncio.timeout(self._settings.close_timeout):
                await self._channel.aclose(None)
                await asyncio.shield(self._exited)
        except TimeoutError:
            self._kill(self, signal.SIGTERM)
            await self._wait_killed()
        except BaseException:
            self._kill(self, signal.SIGKILL)
            self._channel.abort()
            raise

    async def kill(self) -> None:
        """End the worker at once, and wait until it is gone."""
        self.abort()
        await self._wait_killed()

    def abort(self) -> None:
        """End the worker at once, without waiting for anything."""
        if not self._exited.done():
            self._kill(self, signal.SIGKILL)
        if self.is_connected:
            self._channel.abort()

    async def __aenter__(self) -> Task:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            await self.shutdown()
        else:
            await self.kill()

    async def _wait_killed(self) -> None:
        """Wait for the launcher's report; one whose host is silent sends none until it counts as lost."""
        await asyncio.wait([self._exited], timeout=deadlines.KILL_REPORT)

    # What the runner's supervision calls

    def connect(self, channel: Channel, *, version: int = 2) -> bool:
        """Set the channel of the task, of some version of the wire; False when it has one already, or was given up."""
        if self._connected.done():
            return False
        self._channel = channel
        self._version = version
        self._connected.set_result(channel)
        return True

    def fail_start(self, reason: str, last_lines: tuple[str, ...] = ()) -> None:
        """Fail the start: the callers who wait for it get a `StartError`."""
        if not self._connected.done():
            self._connected.set_exception(StartError(self.module, reason, last_lines))
            self._connected.exception()  # retrieved: not everybody who starts a worker waits for it

    def end(self, lost: WorkerLost | None, *, cut: bool = False) -> None:
        """
        Record that the worker is gone.

        Args:
            lost: why, or None for a clean end.
            cut: True when nothing of its stream will come any more, not even its end.
        """
        if not self._exited.done():
            self._exited.set_result(lost)
        if cut and lost is not None and self.is_connected:
            self._channel.abort(lost)

    def on_start_done(self, callback: Callable[[Task], object]) -> None:
        """Call ``callback`` once, when the worker is connected or its start has failed."""
        self._connected.add_done_callback(lambda _: callback(self))

    @property
    def start_error(self) -> StartError | None:
        """The reason why the start failed, or None."""
        error = self._connected.exception() if self._connected.done() else None
        return error if isinstance(error, StartError) else None

    async def detach(self) -> None:
        """Close the channel at once: the job is over."""
        self.fail_start("its runner has ended")
        self.end(None)
        if self.is_connected:
            self._channel.abort()
            await self._channel.aclose()

    async def wait_connected(self) -> Task:
        """Wait until the worker has dialled in. Cancelling it changes nothing."""
        await asyncio.shield(self._connected)
        return self

    async def wait_exited(self) -> WorkerLost | None:
        """
        Wait until the worker is gone and everything that it sent has arrived; None after a clean end.

        Cancelling it changes nothing.
        """
        lost = await asyncio.shield(self._exited)
        if self.is_connected:
            await self._channel.connection.wait_ended(deadlines.LAUNCHER_EXPLANATION)
        return lost

    async def explain(self, error: ParcsError) -> ParcsError:
        """Return an error that says more than the channel's: the worker's name, and the launcher's report."""
        if isinstance(error, RemoteError):
            error.worker = error.worker or self.name
            return error
        # Version 1 has no goodbye: there the end of the stream may be a clean end or the worker's death.
        if isinstance(error, WorkerLost) or (isinstance(error, EndOfChannel) and self._version > 1):
            return error
        await asyncio.wait([self._exited], timeout=deadlines.LAUNCHER_EXPLANATION)
        if not self._exited.done():
            return type(error)(f"worker {self.name}: {error}")
        lost = self._exited.result()
        if lost is None and isinstance(error, EndOfChannel):
            return error
        return lost or WorkerLost.from_exit(self.name, 0)
