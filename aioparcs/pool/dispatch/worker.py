"""One worker of a pool, and what passes between it and the pool."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from enum import Enum, auto
from functools import partial
from typing import TYPE_CHECKING, Any

from aioparcs.channel import CallStream, read_results, read_unsent
from aioparcs.errors import CallCancelled, CallTimeout, EncodeError, RemoteError, WorkerLost, add_note, set_worker
from aioparcs.pool.scheduler import PendingCall, Result, WorkerState, is_fatal, is_missing
from aioparcs.task import WorkerHandle
from aioparcs.wire import Frame

if TYPE_CHECKING:  # few programs make spans
    from aioparcs.pool.spans import WorkerSpans
    from aioparcs.telemetry import CallSpan

__all__ = ["PoolWorker", "Succession", "annotate"]


# The exit code of a worker that leaves because it has lost its connection.
_LEFT = 1


class Succession(Enum):
    """Whether another worker takes a worker's place."""

    NONE = auto()
    """None has, so far."""
    STARTED = auto()
    """One has, or is about to."""
    AWAITED = auto()
    """One will once this one is gone."""


class PoolWorker:
    """
    A worker: calls and revocations to it, results from it.

    Args:
        task: the worker.
        state: what the scheduler knows of it.
        makes_spans: whether calls in it are spans of a trace.

    Attributes:
        id: its number.
        expired: set when another worker is to take its place.
        succession: to be set to whether another worker takes its place.
        drained: set when it has no calls, and gets no more.
        is_cut_off: to be set to True when it goes on without its connection, which may have lost results.
        posted: how many calls it was sent.
        spans: to be set to what makes the spans of its streams, and perhaps of its calls.
        streams: those that run in it.
    """

    def __init__(self, task: WorkerHandle, state: WorkerState, *, makes_spans: bool = False) -> None:
        self.id = task.worker
        self.task = task
        self.state = state
        self.makes_spans = makes_spans
        self.expired = asyncio.Event()
        self.succession = Succession.NONE
        self.drained = asyncio.Event()
        self.is_cut_off = False
        self.posted = 0
        self.spans: WorkerSpans | None = None
        self.streams: set[CallStream] = set()
        self._calls = task.channel.calls
        self._is_quiet = asyncio.Event()  # no stream runs in it
        self._is_quiet.set()

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
        self.posted += len(calls)
        if (spans := self.spans) is None or not spans.is_linked:
            return self._calls.post_calls(calls)
        rejected = self._calls.post_calls(calls, spans.begin)
        for call, error in rejected:
            spans.reject(call, error)
        return rejected

    def read(self, frames: Sequence[Frame | bytes]) -> list[Result]:
        """Return the results in frames that it has sent."""
        results = read_results(frames)
        if self.spans is not None:
            self.spans.settle(results)
        return results

    def revoke(self, calls: list[PendingCall]) -> None:
        """Ask for calls back; those that it has not begun are answered by `REVOKED`."""
        for call in calls:
            self._calls.revoke(call.call_id)

    def cancel(self, call: PendingCall, error: BaseException) -> None:
        """Cancel a call: it is revoked, or stopped if it can be; its span ends now, and its answer still comes."""
        if self.spans is not None:
            self.spans.reject(call, error)
        self._calls.cancel_call(call.call_id)

    def open_stream(
        self,
        name: str,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        limit: float | None,
        on_end: Callable[[CallStream], object],
    ) -> CallStream:
        """
        Call a function for its items; `end_stream` is due when there are no more.

        Raises:
            EncodeError: its arguments can't be sent.
            ParcsError: the worker's connection has ended.
        """
        span = None if self.spans is None else self.spans.open_stream(name)
        if span is None:
            stream = self._calls.open_stream(name, args, kwargs, limit, on_end)
        else:
            try:
                end = partial(_end_both, span, on_end)
                stream = self._calls.open_stream(name, args, kwargs, limit, end, span.context)
            except BaseException as error:
                span.end(error)
                raise
        self.posted += 1
        self.streams.add(stream)
        self._is_quiet.clear()
        return stream

    async def wait_drained(self) -> None:
        """Wait until it has neither calls nor streams, and gets no more."""
        await self.drained.wait()
        await self._is_quiet.wait()

    def end_stream(self, stream: CallStream) -> None:
        """Note that a stream has ended."""
        self.streams.discard(stream)
        if not self.streams:
            self._is_quiet.set()

    def read_unsent(self, lost: WorkerLost) -> list[Result] | None:
        """Return its latest results, which its connection may have lost, from its launcher; None if not known."""
        reader = self.task.channel.connection.reader
        if self.is_cut_off or reader.is_cut:
            return None  # its connection may have lost results that it had sent
        results = read_unsent(self.task.unsent_results)
        # A reset that makes a worker leave loses what was on its way; one that follows its death doesn't.
        if reader.is_reset and lost.exitcode == _LEFT and not any(map(is_fatal, results or ())):
            return None
        # A result that is there counts more than that it was made.
        return results and list({one[0]: one for one in sorted(results, key=is_missing, reverse=True)}.values())

    def close_spans(self, error: BaseException, unsent: Sequence[Result] | None = None) -> None:
        """End the spans of its calls: it is gone, and no more results than these will come."""
        if self.spans is not None:
            self.spans.settle(one for one in unsent or () if not is_missing(one))
            self.spans.close(error)


def annotate(worker: PoolWorker | None, call: PendingCall, error: Any) -> None:
    """Add to an error which call has failed, and in which worker, if it was one."""
    if isinstance(error, WorkerLost | CallCancelled):  # which name what they are about
        return
    if isinstance(error, CallTimeout):
        error.call = str(call)
        if worker is not None:
            worker.task.locate(error)
        return
    if worker is not None and isinstance(error, RemoteError):
        set_worker(error, worker.task.name)
    add_note(error, str(call))
    if _is_unpacked_elsewhere(call, error):
        add_note(error, "this tuple is one argument: starmap, in place of map, passes what is in it as arguments")


def _is_unpacked_elsewhere(call: PendingCall, error: Any) -> bool:
    """Return whether a call of `map` lacks arguments that are in its item."""
    if not isinstance(error, RemoteError) or error.type != "TypeError" or call.index < 0 or call.kwargs:
        return False
    return len(call.args) == 1 and type(call.args[0]) is tuple and "required positional argument" in error.message


def _end_both(span: CallSpan, on_end: Callable[[CallStream], object], stream: CallStream) -> None:
    span.end(stream.error)
    on_end(stream)
