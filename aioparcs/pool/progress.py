"""The progress of a pool, counted and reported as events."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from time import monotonic
from typing import NamedTuple

from aioparcs.events import EventBus, PoolProgress, PoolState

__all__ = ["Headcount", "Progress"]

# Seconds between two reports.
_PERIOD = 0.1
_ids = itertools.count()


class Headcount(NamedTuple):
    """
    A pool's calls and workers at a moment.

    Attributes:
        running: calls that are with workers.
        workers: workers that are up.
        wanted: workers that there should be; 0 when the pool is over.
    """

    running: int
    workers: int
    wanted: int


class Progress:
    """
    Counts the calls of a pool, and publishes them at most ten times a second.

    Args:
        events: gets the reports; None for no reports.
        name: what the pool is called in them.
        planned: how many calls its user has announced, None for no announcement.
        look: returns the pool's calls and workers at the moment.

    Attributes:
        id: the pool's number in this program.
        name: what the pool is called.
        done: calls whose results are there, failed ones included.
    """

    def __init__(self, events: EventBus | None, name: str, planned: int | None, look: Callable[[], Headcount]) -> None:
        self.id = next(_ids)
        self.done = 0
        self._events = events
        self.name = name
        self._planned = planned
        self._look = look
        self._failures = self._expected = 0
        self._is_expected_known = True
        self._due: asyncio.TimerHandle | None = None
        self._is_over = False

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
        self.report_soon()

    def forgo(self, count: int) -> None:
        """Count expected calls that will have no result. The collector may call this, in any thread."""
        self._expected -= count

    def cancelled(self, count: int) -> None:
        """Count expected calls that were cancelled."""
        self.forgo(count)
        self.report_soon()

    def settled(self, count: int, failures: int) -> None:
        """Count calls that have a result, and those of them that failed."""
        self.done += count
        self._failures += failures
        self.report_soon()

    def report_soon(self) -> None:
        """Report within a tenth of a second."""
        if self._due is None and self._events and not self._is_over:
            self._due = asyncio.get_running_loop().call_later(_PERIOD, self.report)

    def report(self) -> None:
        """Report now."""
        if self._due is not None:
            self._due.cancel()
            self._due = None
        if self._events and not self._is_over:
            self._send(self._events)

    def stop(self) -> None:
        """Report now, then no more until `close`: calls that leaving the pool cancels are no news."""
        self.report()
        self._is_over = True
        if self._due is not None:
            self._due.cancel()

    def close(self) -> None:
        """Report for the last time."""
        self._is_over = True
        if self._events:
            self._send(self._events)

    def _send(self, events: EventBus) -> None:
        now = self._look()
        state = PoolState(self.id, self.name, self.done, self._failures, self.total, *now)
        events.publish(PoolProgress(monotonic(), state))
        if now.running:
            self.report_soon()  # people also need to see that no results come
