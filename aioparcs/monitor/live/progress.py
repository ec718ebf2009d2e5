"""The progress of a job's pools and modules, as the JSON of the live view."""

from __future__ import annotations

from collections import Counter

from aioparcs.display.view import JobView, Pool
from aioparcs.events import Event, ModuleState, PoolProgress, PoolState, Snapshot
from aioparcs.monitor.live.waits import Waits
from aioparcs.monitor.records import Items, ModuleRow, NodeRow, PoolRow, WorkerCounts, rounded

__all__ = ["Progress"]

_MOST = 1000  # pools whose numbers are kept one by one


class Progress:
    """
    The numbers of all modules and pools.

    Attributes:
        view: the workers of each module, and the last pools; its times are those of the program's clock.
        waits_since: since when they wait for what they wait for.
    """

    def __init__(self) -> None:
        self.view = JobView()
        self.waits_since = Waits()
        self._states: dict[int, PoolState] = {}
        self._earlier = [0, 0]  # items of other pools that are done, and those of them that have failed

    def apply(self, event: Event) -> None:
        """Record an event."""
        self.view.apply(event)
        self.waits_since.apply(event)
        if isinstance(event, PoolProgress):
            self._keep(event.state)
        elif isinstance(event, Snapshot):
            for record in event.pools:
                self._keep(record.state)

    @property
    def is_restored(self) -> bool:
        """True if the numbers come from snapshots, which say nothing of single workers."""
        return not self.view.counts and bool(self.view.modules)

    def has_pool(self, name: str) -> bool:
        """Return whether there is or was a pool of a name."""
        return any(state.name == name for state in self._states.values())

    @property
    def up(self) -> int:
        """The number of workers that are connected."""
        return sum(state.up for state in self.view.modules)

    @property
    def running(self) -> int:
        """The number of workers of pools that have items."""
        return sum(min(pool.state.running, pool.state.workers) for pool in self.view.pools.working)

    @property
    def done(self) -> int:
        """The number of items that are done."""
        return self._earlier[0] + sum(state.done for state in self._states.values())

    def workers(self, *, is_over: bool = False) -> WorkerCounts:
        """Return the counts of all workers; of a job that is over none is up."""
        states = self.view.modules
        return {
            "requested": sum(one.requested for one in states), "up": 0 if is_over else self.up,
            "done": sum(one.done for one in states),
            "lost": sum(one.failed for one in states), "stopped": sum(one.stopped for one in states),
        }  # fmt: skip

    def items(self, *, is_over: bool = False) -> Items:
        """Return the counts of all items; of a job that is over none is with workers."""
        states = self._states.values()
        is_known = all(state.total is not None or state.is_over for state in states)
        total = self._earlier[0] + sum(state.done if state.total is None else state.total for state in states)
        return {
            "done": self.done, "total": total if is_known else None,
            "failed": self._earlier[1] + sum(state.failed for state in states),
            "running": 0 if is_over else sum(state.running for state in states),
        }  # fmt: skip

    def rate(self, now: float) -> float:
        """Return how many items are done in a second; ``now`` is the program's clock."""
        return _significant(sum(pool.items_per_second(now) for pool in self.view.pools.working))

    def left(self, now: float) -> float | None:
        """Return the seconds that are left, None if that is unknown; ``now`` is the program's clock."""
        times = [pool.seconds_left(now) for pool in self.view.pools.working]
        times += [self.view.seconds_left(state, now) for state in self.view.modules]
        known = [time for time in times if time is not None]
        return float(round(max(known), 1)) if known else None

    def waits(self) -> list[str]:
        """Return what modules and pools wait for, as text."""
        texts = [f"{state.module}: {state.waits}" for state in self.view.modules if state.waits]
        return texts + [
            f"{pool.state.name}: {pool.state.waits}" for pool in self.view.pools.working if pool.state.waits
        ]

    def pools(self, start: float, now: float, *, is_over: bool = False) -> list[PoolRow]:
        """Return the rows of the last pools, by the program's clock; a pool is over when its job is."""
        rows = [_pool_row(pool, start, now) for pool in self.view.pools.listed]
        return [_ended(row, rounded(now - start)) for row in rows] if is_over else rows

    def modules(self, *, is_over: bool = False) -> list[ModuleRow]:
        """Return the rows of all modules; of a job that is over no worker is up."""
        rows = [_module_row(state) for state in self.view.modules]
        return [{**row, "up": 0, "waits": ""} for row in rows] if is_over else rows

    def nodes(self) -> list[NodeRow]:
        """Return the workers of each node, as far as snapshots say."""
        sums: Counter[str] = Counter()
        for state in self.view.modules:
            sums.update(state.nodes)
        return [
            {"node": node, "workers": number, "up": number, "lost": 0, "calls": 0, "busy": 0.0}
            for node, number in sorted(sums.items())
        ]

    def _keep(self, state: PoolState) -> None:
        self._states[state.id] = state
        if len(self._states) > _MOST:
            oldest = next((one for one in self._states.values() if one.is_over), None)
            if oldest is not None:
                del self._states[oldest.id]
                self._earlier[0] += oldest.done
                self._earlier[1] += oldest.failed


def _pool_row(pool: Pool, start: float, now: float) -> PoolRow:
    state, peak, begun, ended = pool.record(start)
    left = pool.seconds_left(now)
    return {
        "id": state.id, "name": state.name, "done": state.done, "failed": state.failed, "total": state.total,
        "running": state.running, "workers": state.workers, "wanted": state.wanted, "repeats": state.repeats,
        "waits": state.waits, "peak": peak, "begun": rounded(begun),
        "ended": None if ended is None else rounded(ended),
        "rate": _significant(pool.items_per_second(now)), "left": None if left is None else round(left, 1),
    }  # fmt: skip


def _ended(row: PoolRow, now: float) -> PoolRow:
    """Return the row of a pool that has ended with its job, if not before."""
    if row["ended"] is not None:
        return row
    return {**row, "running": 0, "workers": 0, "waits": "", "left": None, "ended": now}


def _module_row(state: ModuleState) -> ModuleRow:
    return {
        "module": state.module, "requested": state.requested, "up": state.up, "done": state.done,
        "failed": state.failed, "stopped": state.stopped, "fraction": state.fraction, "reports": state.reports,
        "nodes": state.nodes, "waits": state.waits,
    }  # fmt: skip


def _significant(rate: float) -> float:
    """Return a rate in three significant figures, so that it changes less often."""
    return float(f"{rate:.3g}")
