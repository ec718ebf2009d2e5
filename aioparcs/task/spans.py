"""The calls of workers, collected into spans and published a few times a second."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from time import monotonic

from aioparcs.errors import (
    CallCancelled,
    ChannelClosed,
    ConnectionLost,
    EndOfChannel,
    ParcsError,
    WorkerLost,
    describe,
    notes_of,
)
from aioparcs.events import CallSpan, CallSpans, CallTraceback, EventBus
from aioparcs.telemetry import LONGEST_NAME

__all__ = ["FAILURES", "SHORT", "Merging", "SpanCollector"]

SHORT = 0.01
"""Seconds below which a call is a short one, at the least: it is merged with those before it, and not listed."""

# Seconds between two events, at the least and at the most, and the spans in a second that make them rarer in between.
_PERIOD, _SLOWEST, _RATE = 0.25, 2.0, 250
# Calls that are listed before it is looked how long they took to come; the number in a second, of those shorter than a
# second and of others, beyond which more calls count as short; and seconds after which fewer do, which may be too few.
_BURST, _MOST, _MOST_LONG, _CALM = 100, 400, 800, 10.0
_ENDED = 200  # spans of short calls in one event; beyond those, the calls of a worker and function become one span
FAILURES = 20
"""Failed calls of one event that are listed by themselves."""

# What a call has in place of its result if it was cancelled, alone or with its worker by who has started that.
_CANCELLED = asyncio.CancelledError, CallCancelled, ChannelClosed
_LOST = WorkerLost, ConnectionLost, EndOfChannel  # and if its worker was lost
_LONGEST = 200  # characters of what is listed
_TRACEBACKS, _LONGEST_TRACEBACK = 3, 3000  # different ones of one event, and characters of one
# Spans in one event.
_LARGEST = 500


class Merging:
    """Calls of a worker that may become more; see `CallSpan`."""

    __slots__ = ("begin", "busy", "calls", "cancelled", "end", "failed", "function", "lost")

    def __init__(
        self, function: str, begin: float, end: float, busy: float, calls: int, errors: Iterable[BaseException] = ()
    ) -> None:
        self.function = function
        self.begin = begin
        self.end = end
        self.busy = busy
        self.calls = calls
        self.failed = self.cancelled = self.lost = 0
        for error in errors:
            self.cancelled += (is_cancelled := isinstance(error, _CANCELLED))
            self.failed += not is_cancelled
            self.lost += isinstance(error, _LOST)

    def span(self, worker: int, call: str = "", error: str = "") -> CallSpan:
        busy, function = round(self.busy, 6), self.function[:LONGEST_NAME]
        counts = self.calls, self.failed, call, error, self.cancelled, self.lost
        return CallSpan(worker, function, self.begin, self.end, busy, *counts)

    def add(self, other: Merging) -> None:
        """Add calls that came later."""
        self.begin, self.end = min(self.begin, other.begin), max(self.end, other.end)
        self.busy += other.busy
        self.calls += other.calls
        self.failed += other.failed
        self.cancelled += other.cancelled
        self.lost += other.lost


class SpanCollector:
    """
    Collects the calls of workers, and publishes them at most four times a second.

    Args:
        events: gets the spans.
        pool: the number of the pool that has made the calls, None for calls of tasks.
    """

    def __init__(self, events: EventBus, pool: int | None) -> None:
        self._events = events
        self._pool = pool
        self._spans: list[CallSpan] = []
        self._tracebacks: dict[str, list[int]] = {}  # with the places in that list of those that have failed there
        self._merging: dict[int, Merging] = {}  # by worker: the span of short calls that may grow
        self._joined: dict[int, dict[str, Merging]] = {}  # by worker and function: what had no room in `_spans`
        self._ended = self._failures = 0  # of the next event
        self._listed, self._since = 0, 0.0  # calls, and since when
        self._period = _PERIOD
        self._short = SHORT
        self._flooded = 0.0  # when too many calls were listed
        self._due: asyncio.TimerHandle | None = None

    def ended(
        self, worker: int, function: str, begin: float, now: float, error: BaseException | None, text: Callable[[], str]
    ) -> None:
        """Add a call, or a stream, that has ended; one that is listed by itself gets its text, and why it failed."""
        calls = Merging(function, begin, now, now - begin, 1, () if error is None else (error,))
        if now - begin >= self._short or self._is_listed(not calls.failed):
            self._list(worker, calls, text(), error)
        else:
            self._merge(worker, calls)
        self._schedule()

    def publish(self) -> None:
        """Publish what is there."""
        if self._due is not None:
            self._due.cancel()
            self._due = None
        for worker in list(self._merging):
            self._end_merging(worker)
        for worker in list(self._joined):
            self._end_joined(worker)
        spans, now = tuple(self._spans), monotonic()
        if self._short > SHORT and now >= self._flooded + _CALM:
            self._short, self._flooded = self._short / 2, now
        self._period = min(max(_PERIOD, len(spans) / _RATE), _SLOWEST)
        self._spans.clear()
        tracebacks, self._tracebacks = self._tracebacks, {}
        self._ended = self._failures = 0
        for first in range(0, len(spans), _LARGEST):
            part = spans[first : first + _LARGEST]
            self._events.publish(CallSpans(now, self._pool, part, _of_part(tracebacks, first)))

    def _list(self, worker: int, calls: Merging, text: str, error: BaseException | None) -> None:
        """Add a span with its text, usually of one call."""
        self._end_merging(worker)
        self._end_joined(worker)
        reason = trace = ""
        if error is not None:
            reason = str(error) if isinstance(error, (ParcsError, *_CANCELLED)) else describe(error)
            trace = _traceback(error) if calls.failed else ""
        if trace and (trace in self._tracebacks or len(self._tracebacks) < _TRACEBACKS):
            self._tracebacks.setdefault(trace, []).append(len(self._spans))
        self._spans.append(calls.span(worker, text[:_LONGEST], reason[:_LONGEST]))
        self._listed += 1
        if self._listed >= _BURST:
            most = _MOST if calls.busy < 1 else _MOST_LONG
            if calls.end - self._since < _BURST / most:
                self._short, self._flooded = self._short * 2, calls.end
            self._listed, self._since = 0, calls.end

    def _merge(self, worker: int, calls: Merging) -> None:
        """Add short calls to the span before them if the two are close."""
        before = self._merging.get(worker)
        if before is None or before.function != calls.function or calls.begin - before.end >= self._short:
            self._end_merging(worker)
            self._merging[worker] = calls
        else:
            before.add(calls)

    def _end_merging(self, worker: int) -> None:
        before = self._merging.pop(worker, None)
        if before is None:
            return
        if self._ended < _ENDED:
            self._ended += 1
            self._spans.append(before.span(worker))
            return
        joined = self._joined.setdefault(worker, {})
        if before.function in joined:
            joined[before.function].add(before)
        else:
            joined[before.function] = before

    def _end_joined(self, worker: int) -> None:
        """Add the spans of a worker that had no room: its functions one after the other, as it had only one at once."""
        parts = self._joined.pop(worker, {}).values()
        if not parts:
            return
        begin, end = min(part.begin for part in parts), max(part.end for part in parts)
        share = (end - begin) / (sum(part.busy for part in parts) or 1.0)
        for part in parts:
            part.begin, part.end = begin, min(end, begin + part.busy * share)
            begin = part.end
            self._spans.append(part.span(worker))

    def _is_listed(self, is_done: bool) -> bool:
        """Count a call; return True if it has failed, and is one of the first since the last event."""
        self._failures += not is_done
        return not is_done and self._failures <= FAILURES

    def _schedule(self) -> None:
        if self._due is None:
            self._due = asyncio.get_running_loop().call_later(self._period, self.publish)


def _traceback(error: BaseException) -> str:
    """Return where an error was raised, and its notes; its end if that is long, "" if there is nothing."""
    place, notes = notes_of(error)
    text = "\n".join((*place, *notes))
    return text if len(text) <= _LONGEST_TRACEBACK else f"…{text[-_LONGEST_TRACEBACK:]}"


def _of_part(tracebacks: dict[str, list[int]], first: int) -> tuple[CallTraceback, ...]:
    """Return the tracebacks of those spans that are in an event which begins with one of them."""
    found = (
        (text, [one - first for one in places if first <= one < first + _LARGEST])
        for text, places in tracebacks.items()
    )
    return tuple(CallTraceback(tuple(places), text) for text, places in found if places)
