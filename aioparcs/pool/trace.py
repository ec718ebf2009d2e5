"""The trace of a pool: when its workers did which calls."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from time import monotonic

from aioparcs.errors import ParcsError, describe
from aioparcs.events import CallSpan, CallSpans, EventBus
from aioparcs.pool.scheduler import Action, Outcome, PendingCall, Repeat, Settle

__all__ = ["CallTrace"]

# Seconds below which a call is a short one, at the least: it is merged with those before it, and not listed by itself.
_SHORT = 0.01
# Seconds between two events, at the least; and the spans in a second, beyond which events become rarer and more calls
# count as short.
_PERIOD, _MOST = 0.25, 800
# Failed calls of one event that are listed by themselves; and the characters of what is listed.
_FAILURES, _LONGEST = 20, 200
# Spans in one event.
_LARGEST = 500


@dataclass(slots=True)
class _Merging:
    """Short calls of a worker; see `CallSpan`."""

    function: str
    begin: float
    end: float
    busy: float
    calls: int
    failed: int

    def span(self, worker: int) -> CallSpan:
        busy = round(self.busy, 6)
        return CallSpan(worker, self.function, self.begin, self.end, busy, self.calls, self.failed, "", "")


class CallTrace:
    """
    Collects the calls of a pool, and publishes them at most four times a second.

    A worker answers one call after the other, so a call begins when the one before it ends. Where it runs several at
    once, a call begins when it is sent.

    Args:
        events: gets the spans.
        pool: the pool's number.
    """

    def __init__(self, events: EventBus, pool: int) -> None:
        self._events = events
        self._pool = pool
        self._spans: list[CallSpan] = []
        self._merging: dict[int, _Merging] = {}  # by worker: the span of short calls that may grow
        self._published = 0  # spans in the last event
        self._last = monotonic()  # when that was
        self._short = _SHORT
        self._notes_sent = False
        self._failures = 0
        self._due: asyncio.TimerHandle | None = None

    def sent(self, calls: Iterable[PendingCall], now: float) -> None:
        """Note when calls were sent to a worker that runs several of them at once."""
        self._notes_sent = True
        for call in calls:
            call.sent = now

    def answered(self, worker: int, begin: float, now: float, actions: Iterable[Action]) -> None:
        """
        Note the results of a worker, or those that it will not have since it is gone.

        Args:
            worker: its number.
            begin: when it had answered before, or when it got its first call since.
            now: when these results came.
            actions: what the scheduler makes of them.
        """
        answers = [action for action in actions if type(action) is Settle or type(action) is Repeat]
        if len(answers) == 1 and type(answers[0]) is Settle and self._grow(worker, begin, now, answers[0]):
            return
        settles = [action.outcomes for action in actions if type(action) is Settle]
        settles += [[(action.call, False, action.error)] for action in actions if type(action) is Repeat]
        count = sum(map(len, settles))
        for outcomes in settles:
            end = begin + (now - begin) * len(outcomes) / count
            if self._notes_sent:
                outcomes = self._take_sent(worker, outcomes, now)
            if outcomes:
                self._add(worker, begin, end, outcomes)
            begin = end

    def ended(
        self, worker: int, function: str, begin: float, now: float, error: BaseException | None, text: Callable[[], str]
    ) -> None:
        """Note a stream that has ended, which counts as one call from its begin on; its text is that of its call."""
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
        is_flood = len(self._spans) > _MOST * (now - self._last)
        self._short = self._short * 2 if is_flood else max(_SHORT, self._short / 2)
        self._spans, self._published, self._last = [], len(spans), now
        self._merging.clear()
        for first in range(0, len(spans), _LARGEST):
            self._events.publish(CallSpans(now, self._pool, spans[first : first + _LARGEST]))

    def _add(self, worker: int, begin: float, end: float, outcomes: list[Outcome]) -> None:
        """Add calls that a worker has answered one after the other, or one of those that it runs at once."""
        call, is_done, value = outcomes[0]
        failed = sum(not is_done for _, is_done, _ in outcomes)
        if failed and len(outcomes) > 1 and self._failures < _FAILURES:
            self._split(worker, begin, end, outcomes)
            return
        span = CallSpan(worker, call.served, begin, end, round(end - begin, 6), len(outcomes), failed, "", "")
        if len(outcomes) == 1 and (end - begin >= self._short or self._is_listed(is_done)):
            self._list(span, str(call), None if is_done else value)
        elif end - begin >= self._short * len(outcomes):  # they came together: any of them may have been the long one
            self._list(span, f"{call} to {outcomes[-1][0]}", None)
        else:
            self._merge(span)
        self._schedule()

    def _split(self, worker: int, begin: float, end: float, outcomes: list[Outcome]) -> None:
        """Add calls whose results came together, so that each of those that have failed is listed by itself."""
        each = (end - begin) / len(outcomes)
        for is_done, group in groupby(outcomes, itemgetter(1)):
            calls = list(group)
            for part in [calls] if is_done else [[outcome] for outcome in calls]:
                self._add(worker, begin, begin + each * len(part), part)
                begin += each * len(part)

    def _list(self, span: CallSpan, text: str, error: BaseException | None) -> None:
        """Add a span of one call, with its text."""
        self._end_merging(span.worker)
        reason = "" if error is None else str(error) if isinstance(error, ParcsError) else describe(error)
        self._spans.append(span._replace(call=text[:_LONGEST], error=reason[:_LONGEST]))

    def _grow(self, worker: int, begin: float, now: float, settle: Settle) -> bool:
        """Add short calls that have all succeeded to the span before them; False if they are none, or there is none."""
        before, took = self._merging.get(worker), now - begin
        if before is None or settle.failures or took >= self._short or begin - before.end >= _SHORT:
            return False
        if self._notes_sent or before.function != settle.outcomes[0][0].served:
            return False
        before.end = now
        before.busy += took
        before.calls += len(settle.outcomes)
        return True

    def _merge(self, span: CallSpan) -> None:
        """Add a span to the one before it if the two are close."""
        before = self._merging.get(span.worker)
        if before is None or before.function != span.function or span.begin - before.end >= _SHORT:
            self._end_merging(span.worker)
            self._merging[span.worker] = _Merging(
                span.function, span.begin, span.end, span.busy, span.calls, span.failed
            )
            return
        before.begin, before.end = min(before.begin, span.begin), span.end
        before.busy += span.busy
        before.calls += span.calls
        before.failed += span.failed

    def _end_merging(self, worker: int) -> None:
        if (before := self._merging.pop(worker, None)) is not None:
            self._spans.append(before.span(worker))

    def _take_sent(self, worker: int, outcomes: list[Outcome], now: float) -> list[Outcome]:
        """Add the calls that were noted when they were sent, and return the others."""
        rest: list[Outcome] = []
        for outcome in outcomes:
            sent = getattr(outcome[0], "sent", None)
            if sent is None:
                rest.append(outcome)
            else:
                self._add(worker, sent, now, [outcome])
        return rest

    def _is_listed(self, is_done: bool) -> bool:
        """Count a call; return True if it has failed, and is one of the first since the last event."""
        self._failures += not is_done
        return not is_done and self._failures <= _FAILURES

    def _schedule(self) -> None:
        if self._due is None:
            period = max(_PERIOD, self._published / _MOST)
            self._due = asyncio.get_running_loop().call_later(period, self.publish)
