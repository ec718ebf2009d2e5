"""What a service's author writes: a class with a ``run`` method."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Coroutine
from contextlib import suppress
from typing import Any

from aioparcs.channel import Channel
from aioparcs.errors import EndOfChannel
from aioparcs.launcher import PROGRESS, Place

__all__ = ["Service"]


class Service:
    """
    A worker's program; subclass it, write ``run``, and hand the class to `serve`::

        class Factor(Service):
            async def run(self):
                n, a, b = [await self.recv() for _ in range(3)]
                await self.send([i for i in range(a, b) if n % i == 0])

        serve(Factor)

    Each worker has an instance of its own. When ``run`` returns, what was sent is delivered and the worker ends;
    an exception travels to the runner. ``run`` may compute without ever awaiting: the worker stays connected, and
    it is killed all the same when its runner is gone.

    Attributes:
        worker: this worker's number in its job.
        rank: its number among those started together, from 0.
        size: how many were started together.
    """

    worker: int
    rank: int
    size: int
    _channel: Channel
    _progress: int

    async def run(self) -> None:
        """Do the work; a subclass says how."""
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
        Tell whoever watches the job how far this worker is; costs a few microseconds and never waits.

        Args:
            done: how much is done, in any unit.
            total: how much there is to do, in the same unit.
        """
        with suppress(BlockingIOError, OSError):  # nobody watches, or reports come faster than anyone looks
            os.write(self._progress, PROGRESS.pack(self.worker, done, total))

    def _attach(self, channel: Channel, place: Place) -> None:
        self._channel = channel
        self.worker, self.rank, self.size, self._progress = place
