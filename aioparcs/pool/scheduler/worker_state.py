"""The state of one worker of a pool, as the scheduler knows it: its phase and its calls."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Set
from enum import Enum, auto
from typing import Any

from aioparcs.errors import CallTimeout
from aioparcs.pool.scheduler.actions import Expire, Settle
from aioparcs.pool.scheduler.call import CallPhase, PendingCall
from aioparcs.pool.scheduler.tally import Tally
from aioparcs.pool.scheduler.window import CallWindow
from aioparcs.wire import FINISHED, REVOKED

__all__ = ["Result", "WorkerPhase", "WorkerState", "calls_of", "is_fatal", "is_missing", "stuck_calls"]

# A call is a slow one when it takes so much longer than those before it, and so many seconds.
_SLOW_FACTOR, _SLOW = 4.0, 0.02
# Seconds that a call may wait for its worker before another one that has nothing to do may have it.
_STALE = 0.002

# A call's id, whether it succeeded, and its result or the error.
Result = tuple[int, bool, Any]

_new = tuple.__new__  # a named tuple without the detour through its own constructor
_, _SENT, _, _SETTLED, _CANCELLED = CallPhase  # members of an Enum are slow to look up


class WorkerPhase(Enum):
    """Whether a worker gets calls."""

    ACTIVE = auto()
    """It gets calls."""
    RETIRING = auto()
    """It finishes what it runs, and gets no more."""
    DISCONNECTED = auto()
    """Its connection has ended; why is about to be known."""
    LOST = auto()
    """It is gone."""


_ACTIVE = WorkerPhase.ACTIVE


class WorkerState:
    """
    One worker, and its calls in the order in which they were sent.

    Args:
        id: the worker's number.
        concurrency: how many calls it runs at once.
        coroutines: the names of functions of which it runs several at once; may be set later.
        max_calls: how many calls it gets in all, None for any number.

    Attributes:
        phase: whether it gets calls.
        is_expiring: whether another worker is about to take its place; until then it gets calls.
        window: how many calls it should have.
        calls: the calls that were sent and not answered, by id.
        streams: how many streams it has, which take no room, but turns with its calls.
        is_writable: to be set to False while what was sent to it waits for room.
        node: to be set to the machine that it runs on, "" if there is only one or it isn't known.
        tally: to be set by a trace that wants its short calls to be counted, else None.
        since: when it answered last, or got its first call since; when it joined, if it has had none.
    """

    __slots__ = (
        "calls",
        "concurrency",
        "coroutines",
        "id",
        "is_expiring",
        "is_writable",
        "node",
        "phase",
        "since",
        "streams",
        "tally",
        "window",
    )

    def __init__(
        self, id: int, concurrency: int, coroutines: Set[str] = frozenset(), max_calls: int | None = None
    ) -> None:
        self.id = id
        self.concurrency = concurrency
        self.phase = _ACTIVE
        self.is_expiring = False
        self.window = CallWindow(concurrency, max_calls)
        self.calls: dict[int, PendingCall] = {}
        self.streams = 0
        self.is_writable = True
        self.node = ""
        self.tally: Tally | None = None
        self.coroutines = coroutines
        self.since = 0.0

    @property
    def is_active(self) -> bool:
        """True when it gets calls."""
        return self.phase is _ACTIVE

    @property
    def has_room_for_stream(self) -> bool:
        """True when it gets calls, and has not had as many as it may have."""
        return self.phase is _ACTIVE and ((rest := self.window.rest) is None or rest > len(self.calls))

    @property
    def is_idle(self) -> bool:
        """True when it has less to do than it could."""
        return len(self.calls) < self.concurrency and self.phase is _ACTIVE and not self.streams

    @property
    def begun(self) -> list[PendingCall]:
        """
        The calls that it runs, if it is alive: one of a plain function, and as many others as may run at once.

        It answers for those that it returns before it begins others, so these are the first ones.
        """
        plain: list[PendingCall] = []
        others: list[PendingCall] = []
        for call in self.calls.values():
            some, most = (others, self.concurrency) if call.served in self.coroutines else (plain, 1)
            if len(some) < most:
                some.append(call)
            elif plain and (not self.coroutines or len(others) == self.concurrency):
                break
        return plain + others

    @property
    def unsettled(self) -> list[PendingCall]:
        """The calls whose results are waited for."""
        return [call for call in self.calls.values() if call.phase is not _CANCELLED]

    @property
    def waiting(self) -> list[PendingCall]:
        """The calls that it has not begun, and that should still be its own; any, if it may be busy with a stream."""
        if len(self.calls) < 2 and not self.streams:
            return []
        begun = set() if self.streams else set(self.begun)
        return [call for call in self.calls.values() if call.phase is _SENT and call not in begun]

    def idle_time(self, now: float) -> float:
        """Return the seconds since its last answer, or since `join`; 0 if it has calls."""
        return 0.0 if self.calls or self.streams else now - self.since

    def age(self, now: float) -> float:
        """Return the seconds since its last answer, or its first call; 0 if it has no calls."""
        return now - self.since if self.calls else 0.0

    def is_slow(self, now: float) -> bool:
        """Return True when what it runs is a slow call, and those behind it should not wait for it."""
        return self.age(now) > _SLOW + _SLOW_FACTOR * self.window.pace

    def stream_load(self, now: float) -> tuple[bool, int]:
        """Return what it has to do before a stream has its turn: the most where a plain function takes long."""
        runs_plain = any(call.served not in self.coroutines for call in self.calls.values())
        return runs_plain and self.age(now) > _SLOW, self.streams + len(self.calls)

    def add(self, calls: Iterable[PendingCall], now: float) -> None:
        """Add calls that were sent to it."""
        if not self.calls:
            self.since = now
        own, number = self.calls, self.id
        for call in calls:
            call.phase = _SENT
            call.worker = number
            own[call.call_id] = call

    def add_stream(self) -> list[Expire]:
        """Count a stream that it got, also as one of its calls; return the request for another worker if it is due."""
        self.streams += 1
        self.window.spend(1)
        return self.expire() if self.window.is_due(len(self.calls)) else []

    def remove_stream(self, now: float) -> None:
        """Record that a stream has ended."""
        self.streams -= 1
        if not self.calls:
            self.since = now

    def expire(self) -> list[Expire]:
        """Return the request for another worker in its place; nothing if that was made, or if it gets no calls."""
        if self.is_expiring or self.phase is not _ACTIVE:
            return []
        self.is_expiring = True
        return [Expire(self.id)]

    def take_results(self, results: Iterable[Result]) -> tuple[list[Settle], list[PendingCall], bool]:
        """
        Remove the calls that it has answered.

        Returns:
            What to settle, the calls that it returned unbegun, and whether a call has failed.
        """
        calls = self.calls
        returned: list[PendingCall] = []
        settles: list[Settle] = []
        settle: Settle | None = None
        has_failures = has_others = False
        tally = self.tally
        function = None if tally is None else tally.function
        for call_id, ok, value in results:
            call = calls.pop(call_id, None)
            if call is None:
                continue
            if call.phase is not _SENT:
                if not ok and getattr(value, "type", "") == REVOKED:
                    returned.append(call)
                    has_others = True
                    continue
                if call.phase is _CANCELLED:
                    call.phase = _SETTLED  # it has run
                    has_others = True
                    continue
            call.phase = _SETTLED
            if call.function is not function:
                has_others = True
            if settle is None or call.client is not settle.client:
                settle = _new(Settle, (self.id, call.client, [], []))
                settles.append(settle)
            outcome = (call, ok, value)
            settle.outcomes.append(outcome)
            if not ok:
                settle.failures.append(outcome)
                has_failures = True
        if tally is not None:
            tally.has_last = not (has_others or has_failures)
        return settles, returned, has_failures

    def measure(self, count: int, now: float) -> None:
        """Renew the number of calls that it should have, after it has answered some."""
        since = self.since
        sample = (now - since) / count
        self.since = now
        if (tally := self.tally) is not None and tally.has_last:
            if sample < tally.short and (since - tally.end < tally.short or not tally.calls):
                if not tally.calls:
                    tally.begin, tally.busy = since, 0.0
                tally.calls += count
                tally.busy += now - since
                tally.end = now
            else:
                tally.has_last = False
        self.window.measure(count, sample)


def calls_of(workers: Iterable[WorkerState]) -> Iterator[PendingCall]:
    """Yield the calls of workers."""
    for worker in workers:
        yield from worker.calls.values()


def is_fatal(result: Result) -> bool:
    """Return True for the error of the call that its worker has ended with."""
    return isinstance(result[2], CallTimeout) and result[2].ended_worker


def is_missing(result: Result) -> bool:
    """Return True in place of a result that its worker has made, and that is lost with it."""
    return not result[1] and getattr(result[2], "type", "") == FINISHED


def stuck_calls(
    workers: Iterable[WorkerState], unsaturated: Iterable[WorkerState], now: float
) -> Iterator[tuple[WorkerState, list[PendingCall]]]:
    """Yield the calls to revoke: those that wait behind a slow one, and those that an idle worker could run."""
    # Most have no call that is behind another one; this is done a thousand times a second, for all workers.
    several = [worker for worker in workers if worker.calls and (len(worker.calls) > 1 or worker.streams)]
    idle = sum(worker.is_idle for worker in unsaturated) if several else 0
    for worker in several:
        if worker.is_slow(now):
            if waiting := worker.waiting:
                worker.window.shrink(worker.age(now))
                yield worker, waiting
        elif idle and worker.age(now) > _STALE and (waiting := worker.waiting):
            taken = waiting[-idle:]
            idle -= len(taken)
            yield worker, taken
