"""
A job's workers, counted.

An event costs a few additions, however many there are; who shows the counts looks at them when it likes.
"""

from __future__ import annotations

from collections import Counter
from math import inf

__all__ = ["Count", "Tally", "counted"]


class Count:
    """
    The workers of one module.

    Attributes:
        module: the module's name.
        asked: workers asked for.
        connected: workers that have connected, those that have ended since included.
        done: workers that have ended cleanly.
        failed: workers that have ended otherwise.
        stopped: workers that the runner has ended.
        nodes: how many workers each node has or had, by its name.
        reports: whether any worker has reported its progress.
    """

    __slots__ = ("_shares", "_sum", "asked", "connected", "done", "failed", "module", "nodes", "reports", "stopped")

    def __init__(self, module: str) -> None:
        self.module = module
        self.asked = self.connected = self.done = self.failed = self.stopped = 0
        self.nodes: Counter[str] = Counter()
        self.reports = False
        self._shares: dict[int, float] = {}  # worker: how much of its work is done, 0 to 1
        self._sum = 0.0  # kept so that no event walks over all workers

    @property
    def ended(self) -> int:
        """Workers that have ended, however."""
        return self.done + self.failed + self.stopped

    @property
    def other_ends(self) -> str:
        """Say how many have not ended cleanly, behind a comma; nothing when there is none."""
        ends = ((self.failed, "failed"), (self.stopped, "stopped"))
        return "".join(f", {number} {end}" for number, end in ends if number)

    @property
    def fraction(self) -> float:
        """How much of the work is done, 0 to 1: each worker counts alike."""
        return min(max(round(self._sum / self.asked, 6), 0.0), 1.0) if self.asked else 0.0

    @property
    def places(self) -> str:
        """Say which nodes have workers, such as ``node1 (2), node2 (1)``."""
        return ", ".join(f"{node} ({number})" for node, number in sorted(self.nodes.items()))

    def reach(self, worker: int, share: float) -> None:
        """Note how much of its work one worker has done, 0 to 1."""
        self._sum += share - self._shares.get(worker, 0.0)
        self._shares[worker] = share


class Tally:
    """The counts of all modules, in the order in which they were first asked for."""

    def __init__(self) -> None:
        self._counts: dict[str, Count] = {}

    def __getitem__(self, module: str) -> Count:
        count = self._counts.get(module)
        if count is None:
            count = self._counts[module] = Count(module)
        return count

    @property
    def counts(self) -> list[Count]:
        """A list of its own, safe to walk while another thread counts."""
        return list(self._counts.values())

    def started(self, module: str, workers: range) -> None:
        """Count workers that were asked for."""
        self[module].asked += len(workers)

    def placed(self, module: str, workers: range, node: str) -> None:
        """Count workers that were given a node."""
        self[module].nodes[node] += len(workers)

    def connected(self, module: str) -> None:
        """Count a worker that has connected."""
        self[module].connected += 1

    def ended(self, module: str, worker: int, error: str | None) -> None:
        """Count a worker that has ended, with an error or without."""
        count = self[module]
        if error is None:
            count.done += 1
            count.reach(worker, 1.0)
        else:
            count.failed += 1

    def stopped(self, module: str, worker: int) -> None:
        """Count a worker that the runner has ended."""
        self[module].stopped += 1

    def progress(self, module: str, worker: int, done: float, total: float) -> None:
        """Note how far a worker is."""
        count = self[module]
        count.reports = True
        count.reach(worker, _share(done, total))

    def summary(self, seconds: float) -> str:
        """Sum up a job in one line, such as ``8 workers, 1 failed, 4.2 s``."""
        asked = sum(count.asked for count in self.counts)
        ends = [f"{sum(getattr(count, end) for count in self.counts)} {end}" for end in ("failed", "stopped")]
        parts = [counted(asked, "worker"), *(end for end in ends if not end.startswith("0 ")), f"{seconds:.1f} s"]
        return ", ".join(parts)


def _share(done: float, total: float) -> float:
    """Return the share of the work that is done, 0 to 1; 0 when the numbers say none, such as NaN or a total of 0."""
    if not (done > 0 and 0 < total < inf):  # what compares with NaN is false
        return 0.0
    return done / total if done < total else 1.0  # never overflows, however large the integers are


def counted(number: int, noun: str) -> str:
    """Write a number of things: ``1 worker``, ``8 workers``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
