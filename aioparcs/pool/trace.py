"""The trace of a pool: when its workers did which calls."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from time import monotonic

from aioparcs.events import CallSpan, CallSpans, EventBus
from aioparcs.pool.scheduler import Action, Outcome, PendingCall, Repeat, Settle

__all__ = ["CallTrace"]

# Seconds below which a call is a short one: it is merged with those before it, and not listed by itself.
_SHORT = 0.01
# Seconds between two events, at the least; and the spans in a second, beyond which events become rarer.
_PERIOD, _MOST = 0.25, 800
# Failed calls of one event that are listed by themselves; and the characters of what is listed.
_FAILURES, _LONGEST = 20, 200


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
        self._merging: dict[int, CallSpan] = {}  # by worker: the span of short calls that may grow
        self._published = 0  # spans in the last event
        self._notes_sent = False
        self._failures = 0
        self._due: asyncio.TimerHandle | None = None

    def sent(self, calls: Iterable[PendingCall], now: float) -> None:
        """Note when calls were sent to a worker that runs several at once."""
        self._notes_sent = True
        for call in calls:
            call.sent = now

    def answered(self, worker: int, begin: float, now: float, actions: Iterable[Action]) -> None:
        """
        Note the results of a worker.

        Args:
            worker: its number.
            begin: when it had answered before, or when it got its first call since.
            now: when these results came.
            actions: what the scheduler makes of them.
        """
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

    def lost(self, worker: int, begin: float, now: float, calls: Iterable[PendingCall], reason: str) -> None:
        """Note that a worker has died with calls."""
        for call in calls:
            self._append(
                CallSpan(worker, call.served, getattr(call, "sent", begin), now, 1, 1, _text(call), reason[:_LONGEST])
            )

    def publish(self) -> None:
        """Publish what is there."""
        if self._due is not None:
            self._due.cancel()
            self._due = None
        self._failures = 0
        spans = (*self._spans, *self._merging.values())
        self._spans, self._published = [], len(spans)
        self._merging.clear()
        if spans:
            self._events.publish(CallSpans(monotonic(), self._pool, spans))

    def _add(self, worker: int, begin: float, end: float, outcomes: list[Outcome]) -> None:
        """Add calls that a worker has answered one after the other."""
        call, is_done, value = outcomes[0]
        if len(outcomes) == 1 and (end - begin >= _SHORT or self._is_listed(is_done)):
            error = "" if is_done else f"{type(value).__name__}: {value}"[:_LONGEST]
            self._append(CallSpan(worker, call.served, begin, end, 1, int(not is_done), _text(call), error))
            return
        failed = sum(not is_done for _, is_done, _ in outcomes)
        before = self._merging.get(worker)
        if before is not None and before.function == call.served and begin - before.end < _SHORT:
            calls = before.calls + len(outcomes)
            self._merging[worker] = before._replace(end=end, calls=calls, failed=before.failed + failed)
        else:
            if before is not None:
                self._append(before)
            self._merging[worker] = CallSpan(worker, call.served, begin, end, len(outcomes), failed, "", "")
            self._schedule()

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

    def _append(self, span: CallSpan) -> None:
        self._spans.append(span)
        self._schedule()

    def _schedule(self) -> None:
        if self._due is None:
            period = max(_PERIOD, self._published / _MOST)
            self._due = asyncio.get_running_loop().call_later(period, self.publish)


def _text(call: PendingCall) -> str:
    return str(call)[:_LONGEST]
