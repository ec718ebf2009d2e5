"""The trace of a pool: when its workers did which calls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from operator import itemgetter

from aioparcs.events import EventBus
from aioparcs.pool.scheduler import Action, CallPhase, Client, Outcome, PendingCall, Repeat, Settle, Tally, WorkerState
from aioparcs.task import FAILURES, Merging, SpanCollector

__all__ = ["CallTrace"]

_SETTLED = CallPhase.SETTLED


class CallTrace(SpanCollector):
    """
    Collects the calls of a pool.

    A worker answers one call after the other, so a call begins when the one before it ends. Where it runs several at
    once, a call begins when it is sent.

    Args:
        events: gets the spans.
        pool: the pool's number.
        has_tallies: whether short calls may be counted in tallies, so that `answered` is not called for them.
    """

    def __init__(self, events: EventBus, pool: int, *, has_tallies: bool) -> None:
        super().__init__(events, pool)
        self._has_tallies = has_tallies
        self._tallied: dict[int, Tally] = {}  # by worker, those that may have something
        # By worker, those that it has not answered yet: whether they had begun, and why they were cancelled.
        self._cancelled: dict[int, dict[PendingCall, tuple[bool, BaseException]]] = {}

    def worker_spans(self, worker: int, *, is_linked: bool) -> None:
        """Return nothing: the spans of events are made afterwards."""

    def added(self, client: Client) -> None:
        """Do nothing: it doesn't matter who makes a call."""

    def submitted(self, call: PendingCall) -> None:
        """Do nothing, as in `added`."""

    def sent(self, calls: Sequence[PendingCall], now: float) -> None:
        """Note when calls were sent to a worker that runs several of them at once."""
        self._has_tallies = False
        for call in calls:
            call.sent = now

    def answered(self, worker: WorkerState, begin: float, now: float, actions: Sequence[Action]) -> None:
        """
        Note the results of a worker, or those that it will not have since it is gone.

        Args:
            worker: the worker.
            begin: when it had answered before, or when it got its first call since.
            now: when these results came.
            actions: what the scheduler makes of them.
        """
        self._take_tally(worker.id)
        if worker.tally is None:  # it is gone, or has had none
            self._tallied.pop(worker.id, None)
        settles = [[outcome] for outcome in self._take_cancelled(worker)]  # it had begun them before the others
        settles += [action.outcomes for action in actions if type(action) is Settle]
        settles += [[(action.call, False, action.error)] for action in actions if type(action) is Repeat]
        count = sum(map(len, settles))
        for outcomes in settles:
            end = begin + (now - begin) * len(outcomes) / count
            others = self._take_sent(worker.id, outcomes, now)
            if others:
                self._add(worker.id, begin, end, others)
            begin = end
        if settles:
            self._count(worker, settles[-1][-1][0])

    def cancelled(self, worker: WorkerState, call: PendingCall, now: float, error: BaseException) -> None:
        """Note that a call was cancelled: it ends when its worker answers, or is gone."""
        self._cancelled.setdefault(worker.id, {})[call] = call in worker.begun, error

    def ended(
        self, worker: int, function: str, begin: float, now: float, error: BaseException | None, text: Callable[[], str]
    ) -> None:
        """Add a stream that has ended."""
        self._take_tally(worker)
        super().ended(worker, function, begin, now, error, text)

    def publish(self) -> None:
        """Publish what is there."""
        has_calls = False
        for worker, tally in list(self._tallied.items()):
            has_calls = has_calls or tally.calls > 0
            self._take_tally(worker)
            tally.short = self._short
            if tally.function is None:
                del self._tallied[worker]
        super().publish()
        if has_calls:
            self._schedule()
            return
        for tally in self._tallied.values():  # the next calls come here, and have an event made
            tally.function = None
        self._tallied.clear()

    def _count(self, worker: WorkerState, call: PendingCall) -> None:
        """Allow a worker to count its next calls if they are short ones of the function of its last one."""
        if self._has_tallies and worker.is_active and call.served is call.function:
            tally = worker.tally = worker.tally or Tally()
            tally.function, tally.short = call.function, self._short
            self._tallied[worker.id] = tally
        elif worker.tally:
            worker.tally.function = None

    def _take_tally(self, worker: int) -> None:
        """Add the calls that a worker has counted."""
        tally = self._tallied.get(worker)
        if tally and tally.calls and tally.function is not None:
            calls = Merging(tally.function, tally.begin, tally.end, tally.busy, tally.calls)
            tally.calls = 0
            self._merge(worker, calls)

    def _take_cancelled(self, worker: WorkerState) -> list[Outcome]:
        """Remove the cancelled calls that a worker no longer has; return those of them that had begun."""
        own = self._cancelled.pop(worker.id, None)
        if not own:
            return []
        over = {call: one for call, one in own.items() if worker.calls.get(call.call_id) is not call}
        if left := {call: one for call, one in own.items() if call not in over}:
            self._cancelled[worker.id] = left
        begun = [(call, error) for call, (is_begun, error) in over.items() if is_begun or call.phase is _SETTLED]
        return [(call, False, error) for call, error in begun]

    def _add(self, worker: int, begin: float, end: float, outcomes: list[Outcome]) -> None:
        """Add calls that a worker has answered one after the other, or one of those that it runs at once."""
        call, is_done, value = outcomes[0]
        count, busy = len(outcomes), end - begin
        calls = Merging(call.served, begin, end, busy, count, [value for _, ok, value in outcomes if not ok])
        if calls.failed and count > 1 and self._failures < FAILURES:
            self._split(worker, begin, end, outcomes)
            return
        if count == 1 and (busy >= self._short or self._is_listed(not calls.failed)):
            self._list(worker, calls, str(call), None if is_done else value)
        elif busy >= self._short * count:  # they came together: any of them may have been the long one
            self._list(worker, calls, f"{call} to {outcomes[-1][0]}", None)
        else:
            self._merge(worker, calls)
        self._schedule()

    def _split(self, worker: int, begin: float, end: float, outcomes: list[Outcome]) -> None:
        """Add calls whose results came together, so that each of those that have failed is listed by itself."""
        each = (end - begin) / len(outcomes)
        for is_done, group in groupby(outcomes, itemgetter(1)):
            calls = list(group)
            for part in [calls] if is_done else [[outcome] for outcome in calls]:
                self._add(worker, begin, begin + each * len(part), part)
                begin += each * len(part)

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
