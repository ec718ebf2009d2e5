"""The calls of workers, collected into spans and published a few times a second."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic

from aioparcs.errors import ParcsError, describe
from aioparcs.events import CallSpan, CallSpans, EventBus

__all__ = ["FAILURES", "SHORT", "SpanCollector"]

SHORT = 0.01
"""Seconds below which a call is a short one, at the least: it is merged with those before it, and not listed."""

# Seconds between two events, at the least; and the spans in a second, beyond which events become rarer and more calls
# count as short.
_PERIOD, _MOST = 0.25, 800
_CALM = 0.25  # the share of that below which fewer calls count as short again
FAILURES = 20
"""Failed calls of one event that are listed by themselves."""

_LONGEST = 200  # characters of what is listed
# Spans in one event.
_LARGEST = 500


class _Merging:
    """Short calls of a worker; see `CallSpan`."""

    __slots__ = ("begin", "busy", "calls", "end", "failed", "function")

    def __init__(self, first: CallSpan) -> None:
        self.function = first.function
        self.begin = first.begin
        self.end = first.end
        self.busy = first.busy
        self.calls = first.calls
        self.failed = first.failed

    def span(self, worker: int) -> CallSpan:
        busy = round(self.busy, 6)
        return CallSpan(worker, self.function, self.begin, self.end, busy, self.calls, self.failed, "", "")


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
        self._merging: dict[int, _Merging] = {}  # by worker: the span of short calls that may grow
        self._published = 0  # spans in the last event
        self._last = monotonic()  # when that was
        self._short = SHORT
        self._failures = 0
        self._due: asyncio.TimerHandle | None = None

    def ended(
        self, worker: int, function: str, begin: float, now: float, error: BaseException | None, text: Callable[[], str]
    ) -> None:
        """Add a call, or a stream, that has ended; one that is listed by itself gets its text, and why it failed."""
        span = CallSpan(worker, function, begin, now, round(now - begin, 6), 1, int(error is not None), "", "")
        if now - begin >= self._short or self._is_listed(error is None):
            self._list(span, text(), error)
        else:
            self._merge(span)
        self._schedule()

    def publish(self) -> None:
        """Publish what is there."""
        if self._due is not None:
            self._due.cancel()
            self._due = None
        self._failures = 0
        spans, now = (*self._spans, *(merging.span(worker) for worker, merging in self._merging.items())), monotonic()
        share = len(self._spans) / max(_MOST * (now - self._last), 1.0)
        if share > 1:
            self._short *= 2
        elif share < _CALM:  # what is left of a flood by longer limits is no calm
            self._short = max(SHORT, self._short / 2)
        self._spans, self._published, self._last = [], len(spans), now
        self._merging.clear()
        for first in range(0, len(spans), _LARGEST):
            self._events.publish(CallSpans(now, self._pool, spans[first : first + _LARGEST]))

    def _list(self, span: CallSpan, text: str, error: BaseException | None) -> None:
        """Add a span of one call, with its text."""
        self._end_merging(span.worker)
        reason = "" if error is None else str(error) if isinstance(error, ParcsError) else describe(error)
        self._spans.append(span._replace(call=text[:_LONGEST], error=reason[:_LONGEST]))

    def _merge(self, span: CallSpan) -> None:
        """Add a span to the one before it if the two are close."""
        before = self._merging.get(span.worker)
        if before is None or before.function != span.function or span.begin - before.end >= SHORT:
            self._end_merging(span.worker)
            self._merging[span.worker] = _Merging(span)
            return
        before.begin, before.end = min(before.begin, span.begin), span.end
        before.busy += span.busy
        before.calls += span.calls
        before.failed += span.failed

    def _end_merging(self, worker: int) -> None:
        if (before := self._merging.pop(worker, None)) is not None:
            self._spans.append(before.span(worker))

    def _is_listed(self, is_done: bool) -> bool:
        """Count a call; return True if it has failed, and is one of the first since the last event."""
        self._failures += not is_done
        return not is_done and self._failures <= FAILURES

    def _schedule(self) -> None:
        if self._due is None:
            period = max(_PERIOD, self._published / _MOST)
            self._due = asyncio.get_running_loop().call_later(period, self.publish)
