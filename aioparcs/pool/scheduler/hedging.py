"""Hedging: calls that take much longer than others are given to a second worker, and the first answer counts."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any
from weakref import WeakKeyDictionary

from aioparcs.pool.scheduler.actions import Cancel, Settle
from aioparcs.pool.scheduler.call import CallPhase, PendingCall
from aioparcs.pool.scheduler.worker_state import WorkerState, calls_of

__all__ = ["Hedging", "read_hedge"]

# Calls of a function that must have succeeded before it's known how long they take, and how many of the last count.
_ENOUGH, _KEPT = 5, 100
# Seconds that a call must have run before a second worker gets it.
_LEAST = 0.05

_, _SENT, _REVOKING, _SETTLED, _CANCELLED = CallPhase  # members of an Enum are slow to look up


def read_hedge(hedge: Any) -> float:
    """
    Return how many times the median a call may take before it is hedged.

    Raises:
        TypeError: it is not a number, or is True or False.
        ValueError: it is less than 1, or infinite.
    """
    expected = "it must be a number, at least 1: so many times the median of the finished calls"
    try:
        factor = float(hedge)
        if isinstance(hedge, bool):
            raise TypeError
    except (TypeError, ValueError):
        raise TypeError(f"hedge={hedge!r}: {expected}") from None
    if not 1 <= factor < math.inf:
        raise ValueError(f"hedge={hedge!r}: {expected}")
    return factor


class Hedging:
    """
    Decides which calls a second worker gets, and which of the two answers counts.

    The copy of a call is a call of its own for the workers; for clients there is only the original.

    Args:
        factor: how many times the median of its function's calls a call may take.
    """

    def __init__(self, factor: float) -> None:
        self._factor = factor
        self._durations: dict[str, deque[float]] = {}  # of the last calls of each function that have succeeded
        self._begun: WeakKeyDictionary[PendingCall, float] = WeakKeyDictionary()
        self._copies: dict[PendingCall, PendingCall] = {}  # by their originals
        self._originals: dict[PendingCall, PendingCall] = {}  # by their copies

    def begin(self, calls: Iterable[PendingCall], now: float) -> None:
        """Record that calls begin."""
        for call in calls:
            self._begun[call] = now

    def stragglers(self, workers: Iterable[WorkerState], now: float) -> list[PendingCall]:
        """Return the calls to copy, those that have run for the longest time first."""
        from statistics import median  # it loads fractions and decimals, which other pools don't need

        limits = {
            function: max(_LEAST, self._factor * median(durations))
            for function, durations in self._durations.items()
            if len(durations) >= _ENOUGH
        }
        ages = {
            call: now - self._begun.get(call, now)
            for call in calls_of(workers)
            if call.phase is _SENT and call not in self._copies and call not in self._originals
        }
        late = [call for call, age in ages.items() if age > limits.get(call.served, math.inf)]
        return sorted(late, key=ages.__getitem__, reverse=True)

    def copy(self, call: PendingCall) -> PendingCall:
        """Return a copy of a call, for a second worker."""
        copy = self._copies[call] = call.copy()
        self._originals[copy] = call
        return copy

    def original(self, call: PendingCall) -> PendingCall:
        """Return the call that another one is a copy of; the call itself if it is none."""
        return self._originals.get(call, call)

    def part(self, call: PendingCall) -> PendingCall | None:
        """Forget that a call is one of two; return the other one, None if it isn't."""
        other = self._copies.pop(call, None)
        if other is not None:
            del self._originals[other]
            return other
        other = self._originals.pop(call, None)
        if other is not None:
            del self._copies[other]
        return other

    def settle(self, settles: list[Settle], workers: Mapping[int, WorkerState], now: float) -> list[Cancel]:
        """Replace copies by their originals in what is settled; return what to cancel: the others of two."""
        cancels: list[Cancel] = []
        for _, _, outcomes, failures in settles:
            for number, (call, ok, value) in enumerate(outcomes):
                if ok:
                    self._record(call, now)
                is_copy = call in self._originals
                if (other := self.part(call)) is None:
                    continue
                if is_copy:
                    outcomes[number] = (other, ok, value)
                    other = _leave_copy(other, workers)
                other.phase = _CANCELLED
                cancels.append(Cancel(other.worker, other))
            failures[:] = [outcome for outcome in outcomes if not outcome[1]]
        return cancels

    def withdraw(self, call: PendingCall, workers: Mapping[int, WorkerState]) -> bool:
        """
        Drop one of two calls, which is with no worker now, and was not answered.

        Returns:
            False if there is no other one, so that this call is to be made again, or to fail.
        """
        is_copy = call in self._originals
        other = self.part(call)
        if other is None:
            return False
        if is_copy:
            call.phase = _CANCELLED
        else:  # its copy is from now on the call itself
            call.worker, call.call_id, call.phase = other.worker, other.call_id, other.phase
            workers[call.worker].calls[call.call_id] = call
            self._begun[call] = self._begun[other]
        return True

    def _record(self, call: PendingCall, now: float) -> None:
        if call in self._begun:
            durations = self._durations.setdefault(call.served, deque(maxlen=_KEPT))
            durations.append(now - self._begun[call])


def _leave_copy(call: PendingCall, workers: Mapping[int, WorkerState]) -> PendingCall:
    """Leave a copy of a call with its worker in place of it: the call itself is settled, or made again."""
    copy = call.copy()
    copy.worker, copy.call_id = call.worker, call.call_id
    if hasattr(call, "sent"):
        copy.sent = call.sent
    workers[call.worker].calls[call.call_id] = copy
    call.phase = _SETTLED
    return copy
