"""The calls that a pool's workers run, reported when they take long."""

from __future__ import annotations

from time import monotonic

from aioparcs.events import CallsRunning, EventBus, RunningCall
from aioparcs.pool.scheduler import PendingCall, SchedulerStatus, long_calls

__all__ = ["RunningCalls"]

# Seconds between two reports, at the least; the calls in each, and where no subscriber wants calls.
_PERIOD, _MOST, _FEW = 1.0, 100, 5
_LONGEST = 200  # characters of a call's text


class RunningCalls:
    """
    Reports the calls that have run for over a second, whenever they are others than a second ago.

    Args:
        events: gets the reports.
        pool: the pool's number.
        status: knows the calls.
    """

    def __init__(self, events: EventBus, pool: int, status: SchedulerStatus) -> None:
        self._events = events
        self._pool = pool
        self._status = status
        self._polled = 0.0
        self._shown: dict[tuple[float, int, PendingCall], RunningCall] = {}

    def poll(self, now: float) -> None:
        """Report them if a report is due; the time is that of the loop."""
        is_over = self._shown and not self._status.running
        if now - self._polled < _PERIOD and not is_over:
            return
        self._polled = now
        most = _MOST if self._events.wants_calls else _FEW
        self._show(long_calls(self._status.workers.values(), most, now))

    def close(self) -> None:
        """Report that none runs."""
        self._show([])

    def _show(self, calls: list[tuple[float, int, PendingCall]]) -> None:
        if list(self._shown) == calls:
            return
        self._shown = {key: self._shown.get(key) or _running(*key) for key in calls}
        self._events.publish(CallsRunning(monotonic(), self._pool, tuple(self._shown.values())))


def _running(begin: float, worker: int, call: PendingCall) -> RunningCall:
    return RunningCall(worker, call.served[:_LONGEST], str(call)[:_LONGEST], begin)
