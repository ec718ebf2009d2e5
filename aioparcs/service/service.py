"""The class that a service's author writes, with a ``run`` method."""

from __future__ import annotations

import os
import struct
from collections.abc import AsyncIterator, Coroutine
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from aioparcs.errors import EndOfChannel, SettingError, StartError
from aioparcs.launcher.reports import PROGRESS, REPORT
from aioparcs.starter import Starter

# A class that is only defined needs nothing of it, and most services start no workers.
if TYPE_CHECKING:
    from aioparcs.address import Address
    from aioparcs.channel import Channel
    from aioparcs.engine import WorkerSpec
    from aioparcs.events import EventBus
    from aioparcs.launcher.context import WorkerContext
    from aioparcs.pool import WorkerProvider
    from aioparcs.service.peer_endpoint import PeerEndpoint
    from aioparcs.service.spawn_client import SpawnClient
    from aioparcs.task import WorkerHandle

__all__ = ["Service"]


class Service(Starter):
    """
    A worker's program; subclass it, write ``run``, and pass the class to `serve`::

        class Factor(Service):
            async def run(self):
                n, a, b = [await self.recv() for _ in range(3)]
                await self.send([i for i in range(a, b) if n % i == 0])

        serve(Factor)

    Each worker has its own instance. When ``run`` returns, all sent messages are delivered and the worker ends. The
    runner gets an exception of ``run``. ``run`` may compute without ever awaiting: the worker stays connected, and
    it is killed when its runner is gone.

    A service starts workers as a runner does: `start`, `start_many`, `pool`. They have their channels to this worker,
    and end with it: when ``run`` has returned they may finish, for at most ``close_timeout`` seconds; when it
    fails, or this worker is killed, they are killed. Only a runner may use ``swarm=`` and ``wire="v1"``, and the
    runner limits what its services may start; see docs/tree.md.

    Attributes:
        worker: this worker's number in its job.
        rank: its number among those started together, from 0.
        size: how many were started together.
    """

    _is_service = True
    worker: int
    rank: int
    size: int
    _channel: Channel
    _progress: int
    _endpoint: PeerEndpoint | None
    _spawn_client: SpawnClient | None = None

    async def run(self) -> None:
        """Run the program; a subclass overrides it."""
        raise TypeError(f"{type(self).__name__} has no run() method")

    def send(self, message: Any) -> Coroutine[Any, Any, None]:
        """Send one message to the runner; see `Channel.send`."""
        return self._channel.send(message)

    def send_all(self, *messages: Any) -> Coroutine[Any, Any, None]:
        """Send several messages, one after the other; see `Channel.send`."""
        return self._channel.send_all(*messages)

    def recv(self) -> Coroutine[Any, Any, Any]:
        """
        Receive the next message; see `Channel.recv`.

        `EndOfChannel`, when the runner has ended the channel, may be left alone: it ends the service cleanly.
        """
        return self._channel.recv()

    def recv_into(self, buffer: Any) -> Coroutine[Any, Any, int]:
        """Receive the next message, bytes or an array, into memory of your own; see `Channel.recv_into`."""
        return self._channel.recv_into(buffer)

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        try:
            return await self._channel.recv()
        except EndOfChannel:
            raise StopAsyncIteration from None

    def progress(self, done: float, total: float) -> None:
        """
        Report this worker's progress to the job's displays; takes a few microseconds and never waits.

        Args:
            done: how much is done, in any unit; more than ``total`` counts as all, less than 0 or NaN as nothing.
            total: how much there is to do, in the same unit.

        Raises:
            TypeError: one of them is not a number.
        """
        with suppress(BlockingIOError, OSError):  # no one watches, or reports come faster than they are read
            os.write(self._progress, _report(self.worker, done, total))

    def barrier(self) -> Coroutine[Any, Any, None]:
        """
        Wait until all workers of the runner's `barrier` have reached this point; then all go on.

        Messages that arrive meanwhile are kept for `recv`. After cancelling, this worker still counts as arrived.

        Raises:
            RemoteError: another worker will never reach the barrier; the error says which one, and why.
            EndOfChannel, ConnectionLost: see `recv`.
        """
        return self._channel.barrier()

    # Other workers

    def listen(self) -> Coroutine[Any, Any, Address]:
        """
        Listen for other workers of the job, and return the address that they dial, to be sent in messages.

        Later calls return the same address. Cancelling it changes nothing.

        Raises:
            SettingError: other workers can't reach this one: on a Swarm, workers must be on the overlay network.
            ConnectionLost: this host can't listen.
        """
        return self._peers().address()

    def accept(self) -> Coroutine[Any, Any, Channel]:
        """
        Wait for the next worker that dials this one, in order of arrival; its number is the channel's ``peer``.

        The channel ends with this worker's program at the latest. Cancelling it leaves the peer first in line.

        Raises:
            SettingError, ConnectionLost: see `listen`, which it does first.
        """
        return self._peers().accept()

    def connect(self, address: Address, timeout: float | None = None) -> Coroutine[Any, Any, Channel]:
        """
        Open a channel straight to another worker of the job.

        The channel ends with this worker's program at the latest. Cancelling it leaves no connection behind.

        Args:
            address: what `listen` returned there.
            timeout: seconds to reach it; by default ``connect_timeout``, and longer while the network has no route.

        Raises:
            ConnectionLost: that worker is gone, or can't be reached from here.
            HandshakeError: it refused this worker.
        """
        return self._peers().connect(address, timeout)

    def _peers(self) -> PeerEndpoint:
        if self._endpoint is None:
            raise SettingError("a runner of the original PARCS has no channels between workers")
        return self._endpoint

    # Workers of its own

    async def _start_workers(self, spec: WorkerSpec, count: int) -> list[WorkerHandle]:
        if self._endpoint is None:
            raise StartError(spec.module, "a service of a runner of the original PARCS can't start workers")
        return await self._children().place(spec, count)

    def _worker_provider(self) -> tuple[WorkerProvider, EventBus]:
        return self._children(), self._children().events

    def _children(self) -> SpawnClient:
        if self._spawn_client is None:
            from aioparcs.service.spawn_client import SpawnClient

            self._spawn_client = SpawnClient(self._peers())
        return self._spawn_client

    async def _live(self) -> None:
        """Run, and end the workers that it has started."""
        try:
            await self.run()
        except EndOfChannel:
            pass  # the runner has ended the channel: that is a service's clean end too
        except BaseException:
            if self._spawn_client:
                self._spawn_client.abort()
            raise
        if self._spawn_client:
            await self._spawn_client.aclose()

    def _attach(self, channel: Channel, place: WorkerContext, endpoint: PeerEndpoint | None = None) -> None:
        self._channel = channel
        self._endpoint = endpoint
        self.worker = place.worker
        self.rank = place.rank
        self.size = place.size
        self._progress = place.progress


def _report(worker: int, done: float, total: float) -> bytes:
    """Return a report of progress as a launcher reads it."""
    try:
        return REPORT.pack(PROGRESS, worker, done, total)
    except struct.error:  # not a number, or an integer that no float can hold
        return REPORT.pack(PROGRESS, worker, _share(done, total), 1.0)


def _share(done: float, total: float) -> float:
    try:
        return max(0, min(done, total)) / total if total > 0 else 0.0
    except OverflowError:
        return 0.0
    except TypeError:
        raise TypeError(f"progress() takes two numbers, not {done!r:.60} and {total!r:.60}") from None
