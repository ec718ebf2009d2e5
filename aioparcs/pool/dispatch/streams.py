"""The dispatch of a pool's streams, each to a worker beside its calls."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from aioparcs.channel import CallStream
from aioparcs.errors import call_text
from aioparcs.pool.dispatch.performer import Performer
from aioparcs.pool.dispatch.worker import PoolWorker
from aioparcs.pool.observers import CallObserver
from aioparcs.pool.scheduler import Scheduler

__all__ = ["StreamDispatcher"]


class StreamDispatcher:
    """
    Opens streams in workers.

    Args:
        scheduler: knows what the workers do.
        performer: has the workers.
        trace: notes the streams, None if that is not wanted.
    """

    def __init__(self, scheduler: Scheduler, performer: Performer, trace: CallObserver | None) -> None:
        self._scheduler = scheduler
        self._performer = performer
        self._trace = trace
        self._now = asyncio.get_running_loop().time

    def least_busy(self) -> list[PoolWorker]:
        """Return the workers that may get a stream, those with the least to do first."""
        now = self._now()
        workers = [worker for worker in self._performer.workers.values() if worker.state.has_room_for_stream]
        return sorted(workers, key=lambda worker: worker.state.stream_load(now))

    def reserve(self) -> float:
        """Return how many seconds to wait for before a stream may begin, which counts as a call."""
        return self._scheduler.reserve(self._now()) - self._now()

    def open(
        self, worker: PoolWorker, name: str, args: Sequence[Any], kwargs: Mapping[str, Any], limit: float | None
    ) -> CallStream:
        """
        Call a function of a worker for its items, beside its calls.

        Raises:
            EncodeError: its arguments can't be sent.
            ParcsError: the worker's connection has ended.
        """
        text = partial(call_text, -1, name, args, kwargs)
        end = partial(self._end, worker, name, self._now(), text)
        stream = worker.open_stream(name, args, kwargs, limit, end)
        self._scheduler.idle_deaths = 0
        self._performer.perform([*worker.state.add_stream()])
        return stream

    def _end(self, worker: PoolWorker, name: str, begin: float, text: Callable[[], str], stream: CallStream) -> None:
        worker.end_stream(stream)
        if self._trace:
            error = asyncio.CancelledError("its reader has left it") if stream.is_closed else stream.error
            self._trace.ended(worker.id, name, begin, self._now(), error, text)
        worker.state.remove_stream(self._now())
