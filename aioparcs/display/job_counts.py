"""
A job's workers, counted.

An event costs a few additions, however many there are; who shows the counts looks at them when it likes.
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
        self._gone: list[int] = []  # who has ended since workers were last asked for
        self._before = (0, 0)  # how many had ended, and had been connected, when workers were last asked for
        self._shares: dict[int, float] = {}  # worker: how much of its work is done, 0 to 1
        self._sum = 0.0  # kept so that no event walks over all workers

    @property
    def ended(self) -> int:
        """Workers that have ended, however."""
        return self.done + self.failed + self.stopped

    @property
    def present(self) -> int:
        """Workers that have not ended, whether they are connected or not."""
        return self.asked - self.ended

    @property
    def up(self) -> int:
        """Workers that are connected now."""
        return len(self._up)

    @property
    def expected(self) -> int:
        """Workers that there should be: those asked for, without those that had ended before the last ones were."""
        return self.asked - self._before[0]

    @property
    def arrived(self) -> int:
        """Those of the `expected` that have connected, those that have ended since included."""
        return self.connected - self._before[1]

    @property
    def end(self) -> str:
        """Say how the workers have ended: ``8 workers finished``, ``8 workers ended, 1 failed``."""
        of = f"{self.ended} of " if self.present else ""
        how = {self.done: "finished", self.failed: "failed"}.get(self.ended, "ended")
        failed = f", {self.failed} failed" if self.failed and how == "ended" else ""
        return f"{of}{counted(self.asked, 'worker')} {how}{failed}"

    @property
    def fraction(self) -> float:
        """How much of the work is done, 0 to 1: each worker counts alike."""
        return min(max(round(self._sum / self.asked, 6), 0.0), 1.0) if self.asked else 0.0

    @property
    def places(self) -> str:
        """Say which nodes have workers, such as ``node1 (2), node2 (1)``."""
        return ", ".join(f"{node} ({number})" for node, number in sorted(self.nodes.items()))

    def ask(self, number: int) -> None:
        """Note that workers were asked for; those that have ended are no longer of interest."""
        for worker in self._gone:
            if node := self._places.pop(worker, None):
                self.nodes[node] -= 1
        self.nodes = +self.nodes
        self._gone.clear()
        self.asked += number
        self._before = self.ended, self.connected - self.up

    def place(self, workers: range, node: str) -> None:
        """Note on which node workers are."""
        self.placed += len(workers)
        self.nodes[node] += len(workers)
        self._places.update(dict.fromkeys(workers, node))

    def connect(self, worker: int) -> None:
        """Note that a worker has connected."""
        self.connected += 1
        self._up.add(worker)

    def is_up(self, worker: int) -> bool:
        """Return whether a worker is connected."""
        return worker in self._up

    def leave(self, worker: int) -> None:
        """Note that a worker has ended."""
        self._gone.append(worker)
        self._up.discard(worker)

    def reach(self, worker: int, share: float) -> None:
        """Note how much of its work one worker has done, 0 to 1."""
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
        """A list of its own, safe to walk while another thread counts."""
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
        """Note how far a worker is."""
        count = self[module]
        count.reports = True
        count.reach(worker, _share(done, total))

    def summary(self, seconds: float) -> str:
        """Sum up a job in one line, such as ``8 workers, 1 failed, 4.2 s``."""
        asked, failed = (sum(getattr(count, what) for count in self.counts) for what in ("asked", "failed"))
        return ", ".join(filter(None, (counted(asked, "worker"), failed and f"{failed} failed", f"{seconds:.1f} s")))


def _share(done: float, total: float) -> float:
    """Return the share of the work that is done, 0 to 1; 0 when the numbers say none, such as NaN or a total of 0."""
    if not (done > 0 and 0 < total < inf):  # what compares with NaN is false
        return 0.0
    return done / total if done < total else 1.0  # never overflows, however large the integers are


def counted(number: int, noun: str) -> str:
    """Write a number of things: ``1 worker``, ``8 workers``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
