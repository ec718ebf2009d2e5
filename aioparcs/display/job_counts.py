"""
The counts of a job's workers.

An event costs a few additions, however many there are; a display reads the counts when it draws.
"""

from __future__ import annotations

from collections import Counter
from math import inf

__all__ = ["JobCounts", "ModuleCounts", "counted"]


class ModuleCounts:
    """
    The workers of one module.

    Attributes:
        module: the module's name.
        asked: workers asked for, in all.
        connected: workers that have connected, in all.
        placed: workers that were given a node, in all.
        done: workers that have ended cleanly.
        failed: workers that have ended otherwise.
        stopped: workers that the runner has ended.
        nodes: how many workers each node has, by its name; those that had ended before others were asked for excluded.
        reports: whether any worker has reported its progress.
    """

    def __init__(self, module: str) -> None:
        self.module = module
        self.asked = self.connected = self.placed = self.done = self.failed = self.stopped = 0
        self.nodes: Counter[str] = Counter()
        self.reports = False
        self._up: set[int] = set()
        self._places: dict[int, str] = {}  # worker: its node
        self._gone: list[int] = []  # workers that have ended since others were last asked for
        self._before = (0, 0)  # how many had ended, and had been connected, when workers were last asked for
        self._shares: dict[int, float] = {}  # worker: how much of its work is done, 0 to 1
        self._sum = 0.0  # kept so that no event walks over all workers

    @property
    def ended(self) -> int:
        """The number of workers that have ended, in any way."""
        return self.done + self.failed + self.stopped

    @property
    def present(self) -> int:
        """The number of workers that have not ended, connected or not."""
        return self.asked - self.ended

    @property
    def up(self) -> int:
        """The number of workers that are connected now."""
        return len(self._up)

    @property
    def expected(self) -> int:
        """The number of workers asked for, without those that had ended before the last ones were asked for."""
        return self.asked - self._before[0]

    @property
    def arrived(self) -> int:
        """The number of `expected` workers that have connected, those that have ended since included."""
        return self.connected - self._before[1]

    @property
    def end(self) -> str:
        """The end of the workers as text: ``8 workers finished``, ``8 workers ended, 1 failed``."""
        of = f"{self.ended} of " if self.present else ""
        how = {self.done: "finished", self.failed: "failed"}.get(self.ended, "ended")
        failed = f", {self.failed} failed" if self.failed and how == "ended" else ""
        return f"{of}{counted(self.asked, 'worker')} {how}{failed}"

    @property
    def fraction(self) -> float:
        """The share of the work that is done, 0 to 1; each worker counts alike."""
        return min(max(round(self._sum / self.asked, 6), 0.0), 1.0) if self.asked else 0.0

    @property
    def places(self) -> str:
        """The nodes that have workers, such as ``node1 (2), node2 (1)``."""
        return ", ".join(f"{node} ({number})" for node, number in sorted(self.nodes.items()))

    def ask(self, number: int) -> None:
        """Record that workers were asked for; forget those that have ended."""
        for worker in self._gone:
            if node := self._places.pop(worker, None):
                self.nodes[node] -= 1
        self.nodes = +self.nodes
        self._gone.clear()
        self.asked += number
        self._before = self.ended, self.connected - self.up

    def place(self, workers: range, node: str) -> None:
        """Record the node of some workers."""
        self.placed += len(workers)
        self.nodes[node] += len(workers)
        self._places.update(dict.fromkeys(workers, node))

    def connect(self, worker: int) -> None:
        """Record that a worker has connected."""
        self.connected += 1
        self._up.add(worker)

    def is_up(self, worker: int) -> bool:
        """Return whether a worker is connected."""
        return worker in self._up

    def leave(self, worker: int) -> None:
        """Record that a worker has ended."""
        self._gone.append(worker)
        self._up.discard(worker)

    def reach(self, worker: int, share: float) -> None:
        """Record the share of its work that one worker has done, 0 to 1."""
        self._sum += share - self._shares.get(worker, 0.0)
        self._shares[worker] = share


class JobCounts:
    """The counts of all modules, in the order in which they were first asked for."""

    def __init__(self) -> None:
        self._counts: dict[str, ModuleCounts] = {}

    def __getitem__(self, module: str) -> ModuleCounts:
        count = self._counts.get(module)
        if count is None:
            count = self._counts[module] = ModuleCounts(module)
        return count

    @property
    def counts(self) -> list[ModuleCounts]:
        """A copy of the counts, safe to iterate over while another thread counts."""
        return list(self._counts.values())

    def started(self, module: str, workers: range) -> None:
        """Count workers that were asked for."""
        self[module].ask(len(workers))

    def placed(self, module: str, workers: range, node: str) -> None:
        """Count workers that were given a node."""
        self[module].place(workers, node)

    def connected(self, module: str, worker: int) -> None:
        """Count a worker that has connected."""
        self[module].connect(worker)

    def ended(self, module: str, worker: int, error: str | None) -> None:
        """Count a worker that has ended, with an error or without."""
        count = self[module]
        if error is None:
            count.done += 1
            count.reach(worker, 1.0)
        else:
            count.failed += 1
        count.leave(worker)

    def stopped(self, module: str, worker: int) -> None:
        """Count a worker that the runner has ended."""
        count = self[module]
        count.stopped += 1
        count.leave(worker)

    def progress(self, module: str, worker: int, done: float, total: float) -> None:
        """Record a worker's progress."""
        count = self[module]
        count.reports = True
        count.reach(worker, _share(done, total))

    def summary(self, seconds: float) -> str:
        """Return a job's summary in one line, such as ``8 workers, 1 failed, 4.2 s``."""
        asked, failed = (sum(getattr(count, what) for count in self.counts) for what in ("asked", "failed"))
        return ", ".join(filter(None, (counted(asked, "worker"), failed and f"{failed} failed", f"{seconds:.1f} s")))


def _share(done: float, total: float) -> float:
    """Return the share of the work that is done, 0 to 1; 0 for impossible numbers, such as NaN or a total of 0."""
    if not (done > 0 and 0 < total < inf):  # what compares with NaN is false
        return 0.0
    return done / total if done < total else 1.0  # never overflows, however large the integers are


def counted(number: int, noun: str) -> str:
    """Return a number of things as text: ``1 worker``, ``8 workers``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
