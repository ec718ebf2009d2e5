"""The number of a pool's workers: how many are wanted, and on their way; when to start one, and when to give up."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum, auto

from aioparcs.pool.scheduler import WorkerState

__all__ = ["Replicas", "Step"]

# Workers that may die one after the other without one result between before their module counts as broken.
_DEATHS = 5


class Step(Enum):
    """What to do about workers that are missing."""

    REST = auto()
    """Nothing: none is missing."""
    START = auto()
    """Start one."""
    GIVE_UP = auto()
    """Start no more: they die as soon as they are up."""


class Replicas:
    """
    Decides how many workers of a pool to start.

    Attributes:
        wanted: how many there should be; 0 when the pool is over.
        starting: how many are on their way.
        leaving: how many are about to end, each of which is replaced when it has: two had no room at once.
    """

    def __init__(self) -> None:
        self.wanted = 0
        self.starting = 0
        self.leaving = 0
        self._is_stopped = False

    def resize(self, size: int) -> int:
        """Set how many there should be; return how many more that are than before."""
        more = size - self.wanted
        self.wanted = size
        return max(0, more)

    def withdraw(self, count: int) -> None:
        """Reduce the wanted number by those that did not start."""
        self.wanted = max(0, self.wanted - count)

    def stop(self) -> None:
        """Start no more workers."""
        self._is_stopped = True

    def close(self) -> None:
        """Set the wanted number of workers to 0, for good."""
        self.stop()
        self.wanted = 0

    def next_step(self, size: int, idle_deaths: int) -> Step:
        """
        Return what to do now.

        Args:
            size: how many workers are up, but for those that others are to replace.
            idle_deaths: how many have died without a call since the last result.
        """
        if self._is_stopped or size + self.starting >= self.wanted:
            return Step.REST
        return Step.GIVE_UP if idle_deaths > _DEATHS + self.wanted else Step.START

    def is_hopeless(self, size: int) -> bool:
        """Return True when no worker is up, none is on its way, and none leaves room for one."""
        return not size and not self.starting and not self.leaving

    def surplus(self, workers: Iterable[WorkerState]) -> list[int]:
        """Return the workers to retire so that only the wanted ones get calls: those with the least to do."""
        active = [worker for worker in workers if worker.is_active and not worker.is_expiring]
        active.sort(key=lambda worker: len(worker.calls) + worker.streams)
        return [worker.id for worker in active[: max(0, len(active) - self.wanted)]]
