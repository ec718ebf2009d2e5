"""The calls that come back to a pool from its workers, to be made again: at once, or after a pause."""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from weakref import WeakKeyDictionary

from aioparcs.errors import WorkerLost
from aioparcs.pool.scheduler.actions import Repeat, Settle
from aioparcs.pool.scheduler.call import CallPhase, PendingCall
from aioparcs.pool.scheduler.retry import Retry, note_tries
from aioparcs.pool.scheduler.rotation import Rotations
from aioparcs.pool.scheduler.worker_state import WorkerState

__all__ = ["ReturnedCalls"]

_QUEUED, _CANCELLED = CallPhase.QUEUED, CallPhase.CANCELLED  # members of an Enum are slow to look up


class ReturnedCalls:
    """
    Calls to be made again, and the errors of those that have failed.

    Args:
        retry: when a call that has failed is made again.
        uniform: returns a random number, 0 to 1.
        rotations: get those that may be made now, before their other calls.
    """

    def __init__(self, retry: Retry, uniform: Callable[[], float], rotations: Rotations) -> None:
        self._rotations = rotations
        self._retry = retry
        self._uniform = uniform
        self._errors: WeakKeyDictionary[PendingCall, list[BaseException]] = WeakKeyDictionary()  # one for each try
        self._paused: list[tuple[float, int, PendingCall]] = []  # a heap: when each may be made
        self._count = itertools.count()  # the order of those that are due at the same time

    def __iter__(self) -> Iterator[PendingCall]:
        for rotation in self._rotations:
            yield from rotation.returned
        yield from (call for _, _, call in self._paused)

    @property
    def next_due(self) -> float | None:
        """When the first pause is over, None if no call pauses."""
        return self._paused[0][0] if self._paused else None

    def put_first(self, calls: Iterable[PendingCall]) -> None:
        """Queue calls that were never begun before all others."""
        for call in reversed([call for call in calls if call.phase is not _CANCELLED]):
            call.phase = _QUEUED
            self._queue_of(call).appendleft(call)

    def put_last(self, call: PendingCall) -> None:
        """Queue a call that was never begun behind all others, unless it was cancelled."""
        if call.phase is not _CANCELLED:
            call.phase = _QUEUED
            self._queue_of(call).append(call)

    def sift(self, settles: list[Settle], now: float) -> tuple[list[Settle], list[Repeat]]:
        """Queue calls that have failed and are made again; return what is left to settle, and those calls."""
        repeats: list[Repeat] = []
        for worker, _, outcomes, failures in settles:
            again = {call: error for call, _, error in failures if self.try_again(call, error, now)}
            if again:
                repeats += [Repeat(worker, call, error) for call, error in again.items()]
                outcomes[:] = [outcome for outcome in outcomes if outcome[0] not in again]
                failures[:] = [outcome for outcome in failures if outcome[0] not in again]
        return [settle for settle in settles if settle.outcomes], repeats

    def try_again(self, call: PendingCall, error: BaseException, now: float) -> bool:
        """Queue a call that has failed, behind its pause; False if that was its last try, whose error has notes."""
        retry, errors = self._retry, self._errors.get(call, [])
        if len(errors) >= retry.times or not retry.covers(error):
            self._errors.pop(call, None)
            note_tries(error, errors)
            return False
        self._errors[call] = [*errors, error]
        call.phase = _QUEUED
        pause = retry.pause(len(errors) + 1, self._uniform())
        if pause:
            heapq.heappush(self._paused, (now + pause, next(self._count), call))
        else:
            self._queue_of(call).append(call)
        return True

    def put_back(
        self, worker: WorkerState, begun: Iterable[PendingCall], lost: WorkerLost, now: float
    ) -> tuple[list[Repeat], list[tuple[PendingCall, WorkerLost]]]:
        """Queue the calls of a worker that is gone; return those begun that are made again, and those that fail."""
        repeats: list[Repeat] = []
        failures: list[tuple[PendingCall, WorkerLost]] = []
        held, begun = dict(worker.calls), dict.fromkeys(begun)
        worker.calls.clear()
        self.put_first(call for call in held.values() if call not in begun)
        for call in begun:
            if call.phase is _CANCELLED or held.get(call.call_id) is not call:
                continue
            error = lost.at(str(call))
            if self.try_again(call, error, now):
                repeats.append(Repeat(worker.id, call, error))
            else:
                failures.append((call, error))
        return repeats, failures

    def release(self, now: float) -> bool:
        """Queue the calls whose pause is over; return True if there are some."""
        paused, before = self._paused, len(self._paused)
        while paused and paused[0][0] <= now:
            self.put_last(heapq.heappop(paused)[2])
        return len(paused) < before

    def _queue_of(self, call: PendingCall) -> deque[PendingCall]:
        return self._rotations.of(call.client).returned
