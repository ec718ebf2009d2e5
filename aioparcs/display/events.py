"""The base of both displays: it counts events, and prints a line for the important ones."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from enum import IntEnum

from aioparcs.display.job_counts import JobCounts
from aioparcs.display.pools import Pool, Pools
from aioparcs.display.rate import RateEstimator, duration
from aioparcs.display.shown import remember
from aioparcs.engine import Observer, PoolState

__all__ = ["Detail", "Display"]

FAILURES = 10  # workers of a module whose failures get a line each; hundreds of them fail alike
_ENOUGH = 0.05  # the least share of the work from which its rate is estimated


class Detail(IntEnum):
    """The amount of text that a display prints."""

    QUIET = -1
    NORMAL = 0
    VERBOSE = 1


class Display(Observer, ABC):
    """
    Counts all events, and prints a line for the important ones.

    Args:
        detail: how much it prints.
    """

    def __init__(self, detail: Detail) -> None:
        self.tally = JobCounts()
        self.pools = Pools()
        self._paces: dict[str, RateEstimator] = {}
        self._detail = detail
        self._begun = time.monotonic()

    @property
    def elapsed(self) -> float:
        """Seconds since the display was created."""
        return time.monotonic() - self._begun

    def left(self, module: str) -> str:
        """Return the time that a module's workers will take, from their reports, ``12 s left``; "" if it is unknown."""
        works = module in self._paces and self.tally[module].ended < self.tally[module].asked
        left = self._paces[module].left(self.elapsed, 1.0) if works else None
        return "" if left is None else f"{duration(left)} left"

    def started(self, module: str, workers: range) -> None:
        if self._detail is Detail.VERBOSE:
            for worker in workers:
                self._say(module, worker, "starting")
        self.tally.started(module, workers)

    def placed(self, module: str, workers: range, node: str) -> None:
        if self._detail is Detail.VERBOSE:
            for worker in workers:
                self._say(module, worker, f"placed on {node}")
        self.tally.placed(module, workers, node)

    def connected(self, module: str, worker: int) -> None:
        if self._detail is Detail.VERBOSE:
            self._say(module, worker, f"connected at {self.elapsed:.2f} s")
        self.tally.connected(module, worker)

    def ended(self, module: str, worker: int, error: str | None) -> None:
        count = self.tally[module]
        reason = (error or f"ended at {self.elapsed:.2f} s").partition("\n")[0]
        if self._detail is Detail.VERBOSE:
            has_failed_to_start = error is not None and not count.is_up(worker)
            self._say(module, worker, f"did not start: {reason}" if has_failed_to_start else reason)
        elif error is not None and count.is_up(worker) and count.failed < FAILURES:
            self._say(module, worker, reason)  # the reason for a failed start is raised where it is awaited
        self.tally.ended(module, worker, error)

    def stopped(self, module: str, worker: int) -> None:
        if self._detail is Detail.VERBOSE:
            self._say(module, worker, f"stopped at {self.elapsed:.2f} s")
        self.tally.stopped(module, worker)

    def progress(self, module: str, worker: int, done: float, total: float) -> None:
        now = self.elapsed
        self.tally.progress(module, worker, done, total)
        fraction = self.tally[module].fraction
        self._paces.setdefault(module, RateEstimator(now, fraction)).reach(now, fraction, _ENOUGH)

    def pooled(self, state: PoolState) -> None:
        pool = self.pools.update(state, self.elapsed)
        if pool:
            self._show(pool)

    def output(self, module: str, worker: int | None, line: str) -> None:
        if self._detail is not Detail.QUIET:
            remember(line)
            self._print(module, worker, " | ", line)

    def warning(self, module: str, text: str) -> None:
        self._print(module, None, ": ", text)

    def note(self, module: str, text: str) -> None:
        if self._detail is not Detail.QUIET:
            self._print(module, None, ": ", text)

    def _say(self, module: str, worker: int, text: str) -> None:
        self._line(module, worker, " ", text)

    def _print(self, module: str, worker: int | None, separator: str, text: str) -> None:
        for line in text.split("\n"):  # each after its origin, so that none can be forged
            self._line(module, worker, separator, line)

    @abstractmethod
    def _show(self, pool: Pool) -> None: ...

    @abstractmethod
    def _line(self, module: str, worker: int | None, separator: str, text: str) -> None: ...
