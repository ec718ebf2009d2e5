"""One worker of a pool, and what passes between it and the pool."""

from __future__ import annotations

import asyncio
from collections.abc import Set

from aioparcs.channel import read_results
from aioparcs.errors import EncodeError, ProtocolError
from aioparcs.pool.scheduler import PendingCall, Result
from aioparcs.task import WorkerHandle
from aioparcs.wire import Decoder, frame_of

__all__ = ["PoolWorker"]


class PoolWorker:
    """
    A worker: calls and revocations to it, results from it.

    Args:
        task: the worker.
        concurrency: how many calls it runs at once.
        coroutines: the names of functions of which it runs several at once.

    Attributes:
        id: its number.
        drained: set when it has no calls, and gets no more.
        is_cut_off: to be set to True when it goes on without its connection, which may have lost results.
    """

    def __init__(self, task: WorkerHandle, concurrency: int, coroutines: Set[str]) -> None:
        self.id = task.worker
        self.task = task
        self.concurrency = concurrency
        self.coroutines = coroutines
        self.drained = asyncio.Event()
        self.is_cut_off = False
        self._calls = task.channel.calls

    @property
    def is_writable(self) -> bool:
        """True when calls to it would not wait for room."""
        return self._calls.has_room

    def post(self, calls: list[PendingCall]) -> list[tuple[PendingCall, EncodeError]]:
        """
        Send calls.

        Returns:
            Those that can't be sent, and why.

        Raises:
            ParcsError: the worker's connection has ended, and none was sent; the reason is about to be known.
        """
        return self._calls.post_calls(calls)

    def revoke(self, calls: list[PendingCall]) -> None:
        """Ask for calls back; those that it has not begun are answered by `REVOKED`."""
        for call in calls:
            self._calls.revoke(call.call_id)

    def cancel(self, call: PendingCall) -> None:
        """Cancel a call: it is revoked, or stopped if it can be; its answer comes in any case."""
        self._calls.cancel_call(call.call_id)

    def read_unsent(self) -> list[Result] | None:
        """Return the results that it had not sent when it ended, from its launcher; None if they are not known."""
        if self.is_cut_off or self.task.channel.connection.reader.is_cut:
            return None  # its connection may have lost results that it had sent
        limit = len(self.task.unsent_results)
        decoder = Decoder(limit, limit)
        try:
            decoder.feed(self.task.unsent_results)
        except ProtocolError:
            return None  # damaged
        return read_results([frame_of(frame) for frame in decoder.frames])
