"""The streams of a pool, and which of its workers each goes to."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any, Protocol
from weakref import WeakSet, ref

from aioparcs import deadlines
from aioparcs.errors import EncodeError, ParcsError, add_note, fresh
from aioparcs.pool.dispatch import Dispatcher
from aioparcs.pool.progress import Progress
from aioparcs.pool.scheduler import Retry, note_tries
from aioparcs.pool.streams.stream import PoolStream, StreamCall

__all__ = ["Streams"]


class _Merge(Protocol):
    """Several streams that are read as one."""

    @property
    def waiting(self) -> int | None:
        """How many workers more there is work for, None for an unknown number."""

    def extend(self) -> None:
        """Start as many generators as the workers run calls: there may be more workers by now."""

    def cut_off(self, error: BaseException) -> None:
        """End it, with an error for its reader, unless all of its items are there."""

    async def wait_ended(self) -> None:
        """Wait until all generators have ended: none takes longer than cleaning up may."""


class Streams:
    """
    Places each stream in the worker that has the least to do, or keeps it until there is one.

    Args:
        dispatcher: knows the workers, and what they do.
        retry: when one that has failed before its first item is tried again.
        progress: counts them as calls.
        uniform: returns a random number, 0 to 1.

    Attributes:
        merges: what reads several of them, and ends with the pool's block.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        retry: Retry,
        progress: Progress,
        uniform: Callable[[], float] = random.random,
    ) -> None:
        self._workers = dispatcher.workers
        self._dispatcher = dispatcher.streams
        self._retry = retry
        self._progress = progress
        self._uniform = uniform
        self.merges: WeakSet[_Merge] = WeakSet()
        self._open: WeakSet[PoolStream[Any]] = WeakSet()
        self._waiting: list[ref[PoolStream[Any]]] = []
        self._due: set[asyncio.TimerHandle] = set()  # the begins of those that the rate doesn't allow yet
        dispatcher.workers.waiting_streams = self._count_waiting
        dispatcher.workers.on_change.append(self._place_waiting)

    @property
    def size(self) -> int:
        """The number of workers, at least 1."""
        return max(1, self._workers.size)

    @property
    def has_failed(self) -> bool:
        """True when there are no workers, and there will be none."""
        return self._workers.error is not None

    def open(self, call: StreamCall) -> PoolStream[Any]:
        """Return a stream, which begins as soon as there is a worker."""
        stream: PoolStream[Any] = PoolStream(self, call)
        self._progress.expect(1)
        self._open.add(stream)
        self.place(stream)
        return stream

    def place(self, stream: PoolStream[Any]) -> None:
        """Send a stream to the worker that has the least to do: as soon as there is one, and the rate allows it."""
        can_begin = not stream.is_closed and self._workers.error is None and self._dispatcher.least_busy()
        pause = self._dispatcher.reserve() if can_begin else 0.0
        if pause > 0:
            self._begin_later(pause, ref(stream))
        else:
            self._begin(ref(stream))

    def next_try(self, failures: list[ParcsError]) -> float | None:
        """Return how many seconds to wait for before another try after these failures, None if there is none."""
        *earlier, error = failures
        if len(earlier) >= self._retry.times or not self._retry.covers(error):
            note_tries(error, earlier)
            return None
        self._progress.repeated()
        return self._retry.pause(len(failures), self._uniform())

    def count(self, outcome: bool | None) -> None:
        """Count a stream as done, as failed, or with None as cancelled."""
        if outcome is None:
            self._progress.cancelled(1)
        else:
            self._progress.settled(1, not outcome)

    async def aclose(self) -> None:
        """End all generators, and wait until they have ended, but no longer than cleaning up may take."""
        self._waiting.clear()
        for timer in self._due:
            timer.cancel()
        readers: list[_Merge | PoolStream[Any]] = [*self.merges, *self._open]
        for one in readers:
            left = RuntimeError("the pool's block was left before all items were taken; iterate inside it")
            one.cut_off(left)
        sources = [source for worker in self._workers.up.values() for source in worker.streams]
        for source in sources:
            source.cancel()
        ends = [source.wait_ended(deadlines.CALL_CLEANUP) for source in sources]
        await asyncio.gather(*ends, *(merge.wait_ended() for merge in self.merges))

    def _begin_later(self, pause: float, reference: ref[PoolStream[Any]]) -> None:
        def begin() -> None:
            self._due.discard(timer)
            self._begin(reference)

        timer = asyncio.get_running_loop().call_later(pause, begin)
        self._due.add(timer)

    def _begin(self, reference: ref[PoolStream[Any]]) -> None:
        """Send a stream to a worker now, or keep it until there is one."""
        stream = reference()
        if stream is None or stream.is_closed:
            return
        if self._workers.error is not None:
            stream.fail(fresh(self._workers.error))
            return
        call, open_stream = stream.call, self._dispatcher.open
        for worker in self._dispatcher.least_busy():
            try:
                parts = call.function, call.args, call.kwargs, call.limit
                source = stream.context.run(open_stream, worker, *parts)
            except EncodeError as error:
                add_note(error, str(call))
                stream.fail(error)
                return
            except ParcsError:  # its connection has ended: another one is about to come
                continue
            stream.begin(source, worker)
            return
        self._waiting.append(reference)

    def _place_waiting(self) -> None:
        waiting, self._waiting = self._waiting, []
        for reference in waiting:
            if (stream := reference()) is not None:
                self.place(stream)
        for merge in list(self.merges):
            merge.extend()

    def _count_waiting(self) -> int | None:
        """Return how many workers more there is work for, None for an unknown number."""
        streams = [(reference, reference()) for reference in self._waiting]
        self._waiting = [reference for reference, stream in streams if stream is not None and not stream.is_closed]
        total = len(self._waiting)
        for merge in self.merges:
            if (more := merge.waiting) is None:
                return None
            total += more
        return total
