"""The size of an elastic pool: how many workers to add while calls wait, and which to release without work."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from aioparcs.pool.scheduler import Load, WorkerState

__all__ = ["Autoscaler", "Bounds"]

# Seconds without a start after one that has failed, and the most: each pause is twice the one before.
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0


class Bounds(NamedTuple):
    """
    The sizes that a pool may have.

    Attributes:
        least: how many workers it has at the least.
        most: how many it has at the most; as many for a pool of a fixed size.
    """

    least: int
    most: int

    @property
    def is_elastic(self) -> bool:
        """True when the size may change by itself."""
        return self.least < self.most

    def clamp(self, size: int) -> int:
        """Return the size within the bounds that is nearest to another one."""
        return min(max(size, self.least), self.most)


class Autoscaler:
    """
    Decides when an elastic pool grows, and when it shrinks.

    It doubles while calls wait and no worker is idle, and releases workers that have been idle for long. After a start
    that has failed it pauses, and then starts half as many, and twice as many as those if that succeeds.

    Args:
        bounds: the sizes that it may have.
        idle: seconds without a call after which a worker is released.

    Attributes:
        bounds: the sizes that it may have; may be set.
    """

    def __init__(self, bounds: Bounds, idle: float) -> None:
        self.bounds = bounds
        self._idle = idle
        self._step: int | None = None  # the most workers of the next start, after one that has failed
        self._pause = _FIRST_PAUSE
        self._not_before = 0.0

    def growth(self, load: Load, wanted: int, starting: int, now: float) -> int:
        """
        Return how many workers to start.

        Args:
            load: what there is to do.
            wanted: how many workers there should be so far.
            starting: how many of these are on their way.
            now: the time.
        """
        if load.idle or load.waiting == 0 or now < self._not_before:
            return 0
        step = max(1, wanted) - starting
        if load.waiting is not None:
            step = min(step, load.waiting - starting)
        if self._step is not None:
            step = min(step, self._step)
        return max(0, min(step, self.bounds.most - wanted))

    @property
    def is_limited(self) -> bool:
        """True after a failed start, until as many can be started as the pool would like to."""
        return self._step is not None

    def started(self, wanted: int, failures: int, now: float) -> None:
        """Record that a start is over, in which so many workers have failed, and how many there should be now."""
        if not failures:
            self._pause = _FIRST_PAUSE
            if self._step is not None:
                self._step = 2 * self._step if 2 * self._step < wanted else None
            return
        self._step = max(1, failures // 2)
        self._not_before = now + self._pause
        self._pause = min(2 * self._pause, _LONGEST_PAUSE)

    def surplus(self, workers: Iterable[WorkerState], wanted: int, now: float) -> list[int]:
        """
        Return the workers to release: the youngest first, so that all of one start leave together.

        Args:
            workers: those that are up.
            wanted: how many there should be so far.
            now: the time.
        """
        active = [worker for worker in workers if worker.is_active and not worker.is_expiring]
        spare = max(0, min(len(active), wanted) - self.bounds.least)
        idle = (worker.id for worker in active if worker.idle_time(now) >= self._idle)
        return sorted(idle, reverse=True)[:spare]
