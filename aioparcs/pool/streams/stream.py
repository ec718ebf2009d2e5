"""One stream of a pool: it waits for a worker, and goes to another one if that fails before the first item."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import copy_context
from typing import Any, NamedTuple, Protocol, TypeVar

from aioparcs.channel import ONE_READER, CallStream
from aioparcs.errors import (
    BusyError,
    CallTimeout,
    ConnectionLost,
    EndOfChannel,
    ParcsError,
    WorkerLost,
    add_note,
    call_text,
)
from aioparcs.pool.dispatch import PoolWorker
from aioparcs.task import END_ERRORS, Stream, explain_end

__all__ = ["PoolStream", "StreamCall", "StreamOwner"]

T_co = TypeVar("T_co", covariant=True)


class StreamCall(NamedTuple):
    """What a stream calls: a function's name, the seconds for each item, its arguments, and the number of its item."""

    function: str
    limit: float | None
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    item: int = -1

    def __str__(self) -> str:
        return call_text(self.item, self.function, self.args, self.kwargs)


class StreamOwner(Protocol):
    """The streams that one belongs to."""

    def place(self, stream: PoolStream[Any]) -> None:
        """Send it to a worker, now or as soon as there is one."""

    def next_try(self, failures: list[ParcsError]) -> float | None:
        """Return how many seconds to wait for before it is tried again after these failures, None to give it up."""

    def count(self, outcome: bool | None) -> None:
        """Count it as done, as failed, or with None as cancelled."""


class PoolStream(Stream[T_co]):
    """
    The items of a generator in one of the pool's workers.

    Args:
        owner: the streams that it belongs to.
        call: what it calls.

    Attributes:
        call: the same.
        context: where its user has opened it.
    """

    _is_counted = True  # until it begins

    def __init__(self, owner: StreamOwner, call: StreamCall) -> None:
        super().__init__()
        self.call = call
        self.context = copy_context()
        self._owner = owner
        self._worker: PoolWorker | None = None
        self._failures: list[ParcsError] = []  # of the tries before
        self._due: float | None = None  # when it is placed again
        self._failure: BaseException | None = None  # raised once
        self._is_counted = False
        self._is_cut_off = False
        self._is_busy = False
        self._news = asyncio.Event()  # it was placed, or never will be

    async def __anext__(self) -> T_co:
        while True:
            if self._is_busy:  # also once it is placed: its reader is about to take the first item
                raise BusyError(ONE_READER)
            if self._failure is not None:
                error, self._failure = self._failure, None
                raise error
            if self._is_closed:
                raise StopAsyncIteration
            if self._source is None:
                with self._alone():
                    await self._wait_placed()
                continue
            try:
                return await self._source.take()  # type: ignore[no-any-return]  # as in `Stream`
            except StopAsyncIteration:
                if not self._is_cut_off:
                    self._finish(True)
                    raise
            except END_ERRORS as error:
                if not self._is_cut_off:
                    with self._alone():
                        await self._end_try(error)

    def __del__(self) -> None:
        super().__del__()
        if not self._is_counted and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._owner.count, None)

    # What the owner calls

    @property
    def is_closed(self) -> bool:
        """True when it has ended, or its reader has: it needs no worker."""
        return self._is_closed

    def begin(self, source: CallStream, worker: PoolWorker) -> None:
        """Read the items from a worker that was called."""
        self._source, self._worker = source, worker
        self._news.set()

    def fail(self, error: BaseException) -> None:
        """Raise an error: no worker can be called."""
        self._failure = error
        self._finish(False)

    def cut_off(self, error: BaseException) -> None:
        """End it with the pool's block, and an error, unless all of its items are there."""
        if not self._is_closed and not (self._source and self._source.has_ended):
            self._is_cut_off = True
            self._failure = error
            self._cancel()

    # Inside

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Refuse a second reader meanwhile: both would have it placed."""
        self._is_busy = True
        try:
            yield
        finally:
            self._is_busy = False

    async def _wait_placed(self) -> None:
        """Wait for a worker; behind a pause after a failure."""
        if (due := self._due) is not None:
            await asyncio.sleep(due - self._loop.time())
            self._due = None
            if not self._is_closed:
                self._owner.place(self)
        self._news.clear()
        if self._source is None and not self._is_closed:
            await self._news.wait()

    def _cancel(self) -> None:
        super()._cancel()
        self._count(None)
        self._news.set()

    async def _end_try(self, error: ParcsError) -> None:
        """Prepare another try after a failure before the first item, or raise the error."""
        source, worker = self._source, self._worker
        assert source is not None  # it has raised this
        assert worker is not None
        failure = await self._explain(error, source, worker)
        if self._is_closed:
            return
        self._failures.append(failure)
        pause = None if source.count else self._owner.next_try(self._failures)
        if pause is None:
            self._failure = failure
            self._finish(False)
            return
        self._source, self._due = None, self._loop.time() + pause

    async def _explain(self, error: ParcsError, source: CallStream, worker: PoolWorker) -> ParcsError:
        """Return an error that says which worker that was, what it worked on, and why it is gone."""
        text = str(self.call)
        failure: ParcsError
        if isinstance(error, ConnectionLost | EndOfChannel):
            lost = await worker.task.wait_exited() or WorkerLost.from_exit(worker.task.name, 0)
            failure = worker.task.timed_out(source.call_id) or lost.at(text)
        else:
            failure = await explain_end(error, source, worker.task)
            if not isinstance(failure, CallTimeout):
                add_note(failure, text)
        if isinstance(failure, CallTimeout):
            failure.call = text
        return failure

    def _finish(self, ok: bool) -> None:
        self._is_closed = True
        self._count(ok)
        self._news.set()

    def _count(self, outcome: bool | None) -> None:
        if not self._is_counted:
            self._is_counted = True
            self._owner.count(outcome)
