"""The trace of a pool: when its workers did which calls."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from operator import itemgetter

from aioparcs.events import CallSpan, EventBus
from aioparcs.pool.scheduler import Action, Client, Outcome, PendingCall, Repeat, Settle
from aioparcs.task import FAILURES, SHORT, SpanCollector

__all__ = ["CallTrace"]


class CallTrace(SpanCollector):
    """
    Collects the calls of a pool.

    A worker answers one call after the other, so a call begins when the one before it ends. Where it runs several at
    once, a call begins when it is sent.

    Args:
        events: gets the spans.
        pool: the pool's number.
    """

    def __init__(self, events: EventBus, pool: int) -> None:
        super().__init__(events, pool)
        self._notes_sent = False

    def added(self, client: Client) -> None:
        """Do nothing: it doesn't matter who makes a call."""

    def submitted(self, call: PendingCall) -> None:
        """Do nothing, as in `added`."""

    def sent(self, calls: Sequence[PendingCall], now: float) -> None:
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

    def _add(self, worker: int, begin: float, end: float, outcomes: list[Outcome]) -> None:
        """Add calls that a worker has answered one after the other, or one of those that it runs at once."""
        call, is_done, value = outcomes[0]
        failed = sum(not is_done for _, is_done, _ in outcomes)
        if failed and len(outcomes) > 1 and self._failures < FAILURES:
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

    def _grow(self, worker: int, begin: float, now: float, settle: Settle) -> bool:
        """Add short calls that have all succeeded to the span before them; False if they are none, or there is none."""
        before, took = self._merging.get(worker), now - begin
        if before is None or settle.failures or took >= self._short or begin - before.end >= SHORT:
            return False
        if self._notes_sent or before.function != settle.outcomes[0][0].served:
            return False
        before.end = now
        before.busy += took
        before.calls += len(settle.outcomes)
        return True

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
