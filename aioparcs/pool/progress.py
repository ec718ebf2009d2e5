"""The progress of a pool, counted and reported as events."""

from __future__ import annotations

import asyncio
import itertools
from time import monotonic

from aioparcs.events import EventBus, PoolProgress, PoolState
from aioparcs.pool.running import RunningCalls
from aioparcs.pool.scheduler import SchedulerStatus
from aioparcs.pool.sizing import Replicas

__all__ = ["Progress"]

# Seconds between two reports, and between two while no call is with a worker.
_PERIOD, _IDLE_PERIOD = 0.1, 1.0
_ids = itertools.count()


class Progress:
    """
    Counts the calls of a pool, and publishes them at most ten times a second.

    Args:
        events: gets the reports; None for no reports.
        name: what the pool is called in them.
        planned: how many calls its user has announced, None for no announcement.
        status: knows the calls that are with workers, and how many workers there are.
        replicas: knows how many workers there should be.

    Attributes:
        id: the pool's number in this program.
        name: what the pool is called.
        done: calls whose results are there, failed ones included.
    """

    def __init__(
        self, events: EventBus | None, name: str, planned: int | None, status: SchedulerStatus, replicas: Replicas
    ) -> None:
        self.id = next(_ids)
        self.done = 0
        self._events = events
        self.name = name
        self._status = status
        self._replicas = replicas
        self._failures = self._repeats = 0
        self._expected = _ExpectedCalls(planned)
        self._running = RunningCalls(events, self.id, status) if events else None
        self._due: asyncio.TimerHandle | None = None
        self._is_idle = False  # the next report is that of a pool which only waits
        self._is_over = False

    @property
    def total(self) -> int | None:
        """The number of calls in all, None if that is not known."""
        return self._expected.total(self.done)

    def expect(self, count: int | None) -> None:
        """Count calls that will be made, None for an unknown number."""
        self._expected.add(count)
        self.report_soon()

    def drop_expected(self, count: int, *, is_early: bool) -> None:
        """
        Count expected calls that will have no result. The collector may call this, in any thread.

        Args:
            count: how many.
            is_early: whether they were given up, and not announced by mistake.
        """
        self._expected.drop(count, is_early=is_early)

    def cancelled(self, count: int) -> None:
        """Count expected calls that were cancelled."""
        self._expected.drop(count)
        self.report_soon()

    def settled(self, count: int, failures: int) -> None:
        """Count calls that have a result, and those of them that failed."""
        self.done += count
        self._failures += failures
        self.report_soon()

    def repeated(self) -> None:
        """Count a call that has failed and is made again."""
        self._repeats += 1
        self.report_soon()

    def report_soon(self) -> None:
        """Report within a tenth of a second."""
        if (self._due is None or self._is_idle) and self._events and not self._is_over:
            self._report_in(_PERIOD)

    def report(self) -> None:
        """Report now."""
        if self._due is not None:
            self._due.cancel()
            self._due = None
        if self._events and not self._is_over:
            status, now = self._status, asyncio.get_running_loop().time()
            running = status.running
            self._send(self._events, running, status.size, self._replicas.wanted, status.waits(now))
            if self._running:
                self._running.poll(now)
            if running:
                self.report_soon()  # people also need to see that no results come
            elif self.total is None or self.done < self.total:  # and what it waits for
                self._report_in(_IDLE_PERIOD)
                self._is_idle = True

    def _report_in(self, seconds: float) -> None:
        if self._due is not None:
            self._due.cancel()
        self._due = asyncio.get_running_loop().call_later(seconds, self.report)
        self._is_idle = False

    def stop(self, *, is_early: bool) -> None:
        """
        Report now, then no more until `close`: calls that leaving the pool cancels are no news.

        Args:
            is_early: whether an exception leaves the pool: then calls without a result still count as expected.
        """
        if is_early:
            self._expected.restore()
        self.report()
        self._is_over = True
        if self._due is not None:
            self._due.cancel()

    def close(self) -> None:
        """Report for the last time: no worker is left."""
        self._is_over = True
        if self._running:
            self._running.close()
        if self._events:
            self._send(self._events, 0, 0, 0)

    def _send(self, events: EventBus, running: int, workers: int, wanted: int, waits: str = "") -> None:
        counts = (self.done, self._failures, self.total, running)
        is_open = not (wanted or self._is_over)
        state = PoolState(self.id, self.name, *counts, workers, wanted, self._repeats, is_open, waits)
        events.publish(PoolProgress(monotonic(), state))


class _ExpectedCalls:
    """
    How many calls a pool will have made in the end.

    Args:
        planned: how many its user has announced, None for no announcement.
    """

    def __init__(self, planned: int | None) -> None:
        self._planned = planned
        self._count = 0
        self._dropped = 0  # those that were given up since the last ones were added
        self._is_known = True
        self._is_kept = False

    def total(self, done: int) -> int | None:
        """Return how many, at least those that are done; None if that is not known."""
        known = self._count if self._is_known else self._planned
        return None if known is None else max(known, self._planned or 0, done)

    def add(self, count: int | None) -> None:
        """Add calls, None for an unknown number."""
        if count is None:
            self._is_known = False
        else:
            self._count += count
        self._dropped = 0

    def drop(self, count: int, *, is_early: bool = False) -> None:
        """Subtract calls that will have no result; those that were given up early may be restored."""
        if not self._is_kept:
            self._count -= count
            self._dropped += count * is_early

    def restore(self) -> None:
        """Count again those that were given up since the last ones were added, and subtract no more."""
        self._count += self._dropped
        self._is_kept = True
