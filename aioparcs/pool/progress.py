"""The progress of a pool, counted and reported as events."""

from __future__ import annotations

import asyncio
import itertools
from time import monotonic

from aioparcs.events import EventBus, PoolProgress, PoolState
from aioparcs.pool.running import RunningCalls
from aioparcs.pool.scheduler import Replicas, Scheduler

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
        scheduler: knows the calls that are with workers, and how many workers there are.
        replicas: knows how many workers there should be.

    Attributes:
        id: the pool's number in this program.
        name: what the pool is called.
        done: calls whose results are there, failed ones included.
    """

    def __init__(
        self, events: EventBus | None, name: str, planned: int | None, scheduler: Scheduler, replicas: Replicas
    ) -> None:
        self.id = next(_ids)
        self.done = 0
        self._events = events
        self.name = name
        self._planned = planned
        self._scheduler = scheduler
        self._replicas = replicas
        self._failures = self._expected = self._repeats = 0
        self._dropped = 0  # expected calls that were given up since the last ones were added
        self._is_expected_known = True
        self._running = RunningCalls(events, self.id, scheduler) if events else None
        self._due: asyncio.TimerHandle | None = None
        self._is_idle = False  # the next report is that of a pool which only waits
        self._is_over = self._is_total_kept = False

    @property
    def total(self) -> int | None:
        """The number of calls in all, None if that is not known."""
        known = self._expected if self._is_expected_known else self._planned
        return None if known is None else max(known, self._planned or 0, self.done)

    def expect(self, count: int | None) -> None:
        """Count calls that will be made, None for an unknown number."""
        if count is None:
            self._is_expected_known = False
        else:
            self._expected += count
        self._dropped = 0
        self.report_soon()

    def drop_expected(self, count: int, *, is_early: bool) -> None:
        """
        Count expected calls that will have no result. The collector may call this, in any thread.

        Args:
            count: how many.
            is_early: whether they were given up, and not announced by mistake.
        """
        if not self._is_total_kept:
            self._expected -= count
            self._dropped += count * is_early

    def cancelled(self, count: int) -> None:
        """Count expected calls that were cancelled."""
        if not self._is_total_kept:
            self._expected -= count
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
            running, now = self._scheduler.running, asyncio.get_running_loop().time()
            waits = self._scheduler.waits(now)
            self._send(self._events, running, self._scheduler.size, self._replicas.wanted, waits)
            if self._running:
                self._running.look(now)
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
            self._expected += self._dropped
        self._is_total_kept = is_early
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
