"""
The view of a job: the one reducer of events that all displays share.

No clock is read here: each event brings its time, and callers pass the present one. An event costs a few additions,
however many workers there are; a display reads the numbers when it draws.
"""

from __future__ import annotations

from collections import Counter
from math import inf

from aioparcs.display.view.pools import Pool, Pools, counted
from aioparcs.display.view.rate import RateEstimator, duration
from aioparcs.events import (
    Event,
    ModuleState,
    PoolProgress,
    Snapshot,
    WorkerConnected,
    WorkerExited,
    WorkerProgress,
    WorkersPlaced,
    WorkersRequested,
    WorkerStopped,
    WorkersWaiting,
)

__all__ = ["JobView", "ModuleCounts", "describe_end"]

_ENOUGH = 0.05  # the least share of the work from which its rate is estimated


class _WorkShares:
    """
    The shares of their work that workers have done, and their sum: no event walks over all workers.

    Attributes:
        reports: whether any worker has reported its progress.
        sum: the sum over all workers, those that have ended included.
    """

    def __init__(self) -> None:
        self.reports = False
        self.sum = 0.0
        self._shares: dict[int, float] = {}  # worker: how much of its work is done, 0 to 1

    def report(self, worker: int, done: float, total: float) -> None:
        """Record a worker's progress."""
        self.reports = True
        self._reach(worker, _share(done, total))

    def end(self, worker: int, *, done: bool) -> None:
        """Record that a worker has ended, with all of its work done or without."""
        if done:
            self._reach(worker, 1.0)
        self._shares.pop(worker, None)

    def _reach(self, worker: int, share: float) -> None:
        self.sum += share - self._shares.get(worker, 0.0)
        self._shares[worker] = share


class ModuleCounts:
    """
    The workers of one module.

    Attributes:
        module: the module's name.
        requested: workers requested, in all.
        connected: workers that have connected, in all.
        placed: workers that were given a node, in all.
        done: workers that have ended cleanly.
        failed: workers that have ended otherwise.
        stopped: workers that the runner has ended.
        nodes: how many workers each node has, by its name; those that had ended before others were requested excluded.
    """

    def __init__(self, module: str) -> None:
        self.module = module
        self.requested = self.connected = self.placed = self.done = self.failed = self.stopped = 0
        self.nodes: Counter[str] = Counter()
        self._shares = _WorkShares()
        self._up: set[int] = set()
        self._places: dict[int, str] = {}  # worker: its node
        self._gone: list[int] = []  # workers that have ended since others were last requested
        self._waits = ""
        self._before = (0, 0)  # how many had ended, and had been connected, when workers were last requested

    @property
    def state(self) -> ModuleState:
        """The numbers as they are now."""
        return ModuleState(
            self.module,
            self.requested,
            len(self._up),
            self.done,
            self.failed,
            self.stopped,
            self._shares.reports,
            self.fraction,
            dict(self.nodes),
            self.waits,
        )

    @property
    def waits(self) -> str:
        """What workers wait for that take long to start, as text for people; "" for nothing."""
        return self._waits if len(self._up) < self.requested - self.ended else ""

    @property
    def ended(self) -> int:
        """The number of workers that have ended, in any way."""
        return self.done + self.failed + self.stopped

    @property
    def expected(self) -> int:
        """The number of workers requested, without those that had ended before the last ones were requested."""
        return self.requested - self._before[0]

    @property
    def arrived(self) -> int:
        """The number of `expected` workers that have connected, those that have ended since included."""
        return self.connected - self._before[1]

    @property
    def fraction(self) -> float:
        """The share of the work that is done, 0 to 1; each worker counts alike."""
        return min(max(round(self._shares.sum / self.requested, 6), 0.0), 1.0) if self.requested else 0.0

    def is_up(self, worker: int) -> bool:
        """Return whether a worker is connected."""
        return worker in self._up

    def request(self, number: int) -> None:
        """Record that workers were requested; forget those that have ended."""
        for worker in self._gone:
            if node := self._places.pop(worker, None):
                self.nodes[node] -= 1
        self.nodes = +self.nodes
        self._gone.clear()
        self.requested += number
        self._waits = ""
        self._before = self.ended, self.connected - len(self._up)

    def place(self, workers: range, node: str) -> None:
        """Record the node of some workers."""
        self.placed += len(workers)
        self.nodes[node] += len(workers)
        self._places.update(dict.fromkeys(workers, node))

    def wait(self, text: str) -> None:
        """Record what some workers wait for, as text for people."""
        self._waits = text

    def connect(self, worker: int) -> None:
        """Record that a worker has connected."""
        self.connected += 1
        self._up.add(worker)

    def exit(self, worker: int, error: str | None) -> None:
        """Record that a worker has ended by itself, with an error or without."""
        if error is None:
            self.done += 1
        else:
            self.failed += 1
        self._leave(worker, done=error is None)

    def stop(self, worker: int) -> None:
        """Record that the runner has ended a worker."""
        self.stopped += 1
        self._leave(worker, done=False)

    def report(self, worker: int, done: float, total: float) -> None:
        """Record a worker's progress."""
        self._shares.report(worker, done, total)

    def _leave(self, worker: int, *, done: bool) -> None:
        self._gone.append(worker)
        self._up.discard(worker)
        self._shares.end(worker, done=done)


class JobView:
    """
    The state of all that a program's events are about: the workers of each module, and the pools.

    Attributes:
        pools: the pools.
    """

    def __init__(self) -> None:
        self.pools = Pools()
        self._counts: dict[str, ModuleCounts] = {}
        self._rates: dict[str, RateEstimator] = {}
        self._snapshot: tuple[ModuleState, ...] = ()

    @property
    def counts(self) -> list[ModuleCounts]:
        """The counts of all modules, in the order of their first workers; safe to read while another thread counts."""
        return list(self._counts.values())

    @property
    def modules(self) -> list[ModuleState]:
        """The numbers of all modules, as they are now or as the last snapshot has them."""
        return list(self._snapshot) or [count.state for count in self.counts]

    def of(self, module: str) -> ModuleCounts:
        """Return the counts of a module."""
        count = self._counts.get(module)
        if count is None:
            count = self._counts[module] = ModuleCounts(module)
        return count

    def apply(self, event: Event) -> Pool | None:
        """Record an event; return the pool that it has changed, if any."""
        match event:
            case WorkersRequested():
                self.of(event.module).request(len(event.workers))
            case WorkersPlaced():
                self.of(event.module).place(event.workers, event.node)
            case WorkersWaiting():
                self.of(event.module).wait(event.text)
            case WorkerConnected():
                self.of(event.module).connect(event.worker)
            case WorkerExited():
                self.of(event.module).exit(event.worker, event.error)
            case WorkerStopped():
                self.of(event.module).stop(event.worker)
            case WorkerProgress():
                self.of(event.module).report(event.worker, event.done, event.total)
                self._reach(event.module, event.time, self.of(event.module).fraction)
            case PoolProgress():
                return self.pools.update(event.state, event.time)
            case Snapshot():
                self._restore(event)
        return None

    def snapshot(self, now: float, begun: float, *, is_over: bool = False) -> Snapshot:
        """Return all that displays draw, with times since ``begun``; `apply` of another view takes it."""
        pools = tuple(pool.record(begun) for pool in self.pools.listed)
        return Snapshot(round(now - begun, 3), tuple(self.modules), pools, self.pools.unlisted, is_over)

    def seconds_left(self, state: ModuleState, now: float) -> float | None:
        """Return the time that a module's workers will take, from their reports; None if it is unknown."""
        return self._rates[state.module].left(now, 1.0) if state.module in self._rates and state.present else None

    def left(self, state: ModuleState, now: float) -> str:
        """Return the time that a module's workers will take as text, ``12 s left``; "" if it is unknown."""
        left = self.seconds_left(state, now)
        return "" if left is None else f"{duration(left)} left"

    def summary(self, seconds: float) -> str:
        """Return a job's summary in one line, such as ``8 workers, 1 failed, 4.2 s``."""
        states = self.modules
        requested, failed = sum(state.requested for state in states), sum(state.failed for state in states)
        return f"{counted(requested, 'worker')}{f', {failed} failed' if failed else ''}, {seconds:.1f} s"

    def _restore(self, snapshot: Snapshot) -> None:
        self._snapshot = tuple(one._replace(fraction=min(max(one.fraction, 0.0), 1.0)) for one in snapshot.modules)
        self.pools.restore(snapshot.pools, snapshot.earlier, snapshot.time)
        for state in self._snapshot:
            if state.reports:
                self._reach(state.module, snapshot.time, state.fraction)

    def _reach(self, module: str, now: float, fraction: float) -> None:
        self._rates.setdefault(module, RateEstimator(now, fraction)).reach(now, fraction, _ENOUGH)


def describe_end(state: ModuleState) -> str:
    """Return the end of a module's workers as text: ``8 workers finished``, ``8 workers ended, 1 failed``."""
    of = f"{state.ended} of " if state.present else ""
    how = {state.done: "finished", state.failed: "failed"}.get(state.ended, "ended")
    failed = f", {state.failed} failed" if state.failed and how == "ended" else ""
    return f"{of}{counted(state.requested, 'worker')} {how}{failed}"


def _share(done: float, total: float) -> float:
    """Return the share of the work that is done, 0 to 1; 0 for impossible numbers, such as NaN or a total of 0."""
    if not (done > 0 and 0 < total < inf):  # what compares with NaN is false
        return 0.0
    return done / total if done < total else 1.0  # never overflows, however large the integers are
