"""
The numbers of a program, from its history: functions, nodes, stragglers, and how busy its workers were.

No file is read here and no clock: records go in, records come out.
"""

from __future__ import annotations

from collections.abc import Iterable
from statistics import median, pstdev
from typing import NamedTuple

from aioparcs.events import CallSpan
from aioparcs.recording.history import History, WorkerLife

__all__ = ["FunctionSummary", "NodeSummary", "Straggler", "Summary", "summarize"]

_PARTS = 10  # of a function's calls, whose means are compared
# How many times the median makes a straggler, how many workers there have to be, and the least seconds above it.
_FAR, _FEW, _LEAST = 1.5, 3, 0.1


class FunctionSummary(NamedTuple):
    """
    The calls of a function.

    Attributes:
        name: its name.
        calls: how many there were.
        failed: how many of these have failed.
        cancelled: how many were cancelled while they ran.
        busy: the seconds that they took, in all workers together.
        longest: the longest of those that were listed by themselves, in seconds.
        spread: the standard deviation of the means of ten parts of them, in seconds; None if there are too few.
    """

    name: str
    calls: int
    failed: int
    cancelled: int
    busy: float
    longest: float
    spread: float | None

    @property
    def mean(self) -> float:
        """The seconds of a call, on average."""
        return self.busy / self.calls if self.calls else 0.0


class NodeSummary(NamedTuple):
    """The workers of a node, how many were lost, their calls, the seconds of these, and those that were possible."""

    node: str
    workers: int
    lost: int
    calls: int
    busy: float
    available: float


class Straggler(NamedTuple):
    """
    A worker that had far more to do than the median of its module, or was far slower.

    Attributes:
        worker: its name.
        node: where it ran.
        calls: how many it had.
        busy: the seconds in which it was in a call.
        more: its busy seconds as a multiple of the median.
        slower: the mean of its calls as a multiple of the median.
    """

    worker: str
    node: str
    calls: int
    busy: float
    more: float
    slower: float


class Summary(NamedTuple):
    """
    The numbers of a program.

    Attributes:
        duration: its seconds.
        workers: how many it had in all.
        lost: how many of these were lost.
        peak: the most that were connected at once.
        items: how many items pools have done, failed ones included.
        failed: how many of these have failed.
        calls: how many calls workers have made, repeated ones included.
        working: the seconds from the first call's begin to the last one's end.
        utilisation: the share of the time of pools' workers in which they were in a call; None without such workers.
        functions: the functions, the one with the most seconds first.
        nodes: the nodes, by name.
        stragglers: the workers that are far from the others, the farthest first.
    """

    duration: float
    workers: int
    lost: int
    peak: int
    items: int
    failed: int
    calls: int
    working: float
    utilisation: float | None
    functions: list[FunctionSummary]
    nodes: list[NodeSummary]
    stragglers: list[Straggler]

    @property
    def rate(self) -> float:
        """Calls per second, while there were calls."""
        return self.calls / self.working if self.working > 0 else 0.0


def summarize(history: History) -> Summary:
    """Return the numbers of a program."""
    workers = list(history.workers.values())
    spans = [span for worker in workers for span in worker.spans]
    available = sum(worker.available(history.duration) for worker in history.in_pools)
    states = [pool.state for pool in history.pools.values()]
    return Summary(
        duration=history.duration,
        workers=len(workers),
        lost=sum(worker.how == "lost" for worker in workers),
        peak=_peak(workers),
        items=sum(state.done for state in states),
        failed=sum(state.failed for state in states),
        calls=sum(span.calls for span in spans),
        working=max(span.end for span in spans) - min(span.begin for span in spans) if spans else 0.0,
        utilisation=min(1.0, sum(worker.busy for worker in workers) / available) if available > 0 else None,
        functions=_functions(spans),
        nodes=_nodes(history),
        stragglers=_stragglers(workers),
    )


def _peak(workers: Iterable[WorkerLife]) -> int:
    steps = [(worker.connected, 1) for worker in workers if worker.connected is not None]
    steps += [(worker.ended, -1) for worker in workers if worker.connected is not None and worker.ended is not None]
    peak = up = 0
    for _, step in sorted(steps):
        up += step
        peak = max(peak, up)
    return peak


def _functions(spans: list[CallSpan]) -> list[FunctionSummary]:
    groups: dict[str, list[CallSpan]] = {}
    for span in spans:
        groups.setdefault(span.function, []).append(span)
    return sorted((_function(name, group) for name, group in groups.items()), key=lambda one: -one.busy)


def _function(name: str, spans: list[CallSpan]) -> FunctionSummary:
    spread = None
    if len(spans) >= 2 * _PARTS:
        parts = [spans[first::_PARTS] for first in range(_PARTS)]
        spread = pstdev(_mean(part) for part in parts)
    return FunctionSummary(
        name,
        sum(span.calls for span in spans),
        sum(span.failed for span in spans),
        sum(span.cancelled for span in spans),
        sum(span.busy for span in spans),
        max((span.busy for span in spans if span.calls == 1), default=0.0),
        spread,
    )


def _mean(spans: list[CallSpan]) -> float:
    return sum(span.busy for span in spans) / sum(span.calls for span in spans)


def _nodes(history: History) -> list[NodeSummary]:
    groups: dict[str, list[WorkerLife]] = {}
    for worker in history.workers.values():
        groups.setdefault(worker.node, []).append(worker)
    return [
        NodeSummary(
            node,
            len(group),
            sum(worker.how == "lost" for worker in group),
            sum(worker.calls for worker in group),
            sum(worker.busy for worker in group),
            sum(worker.available(history.duration) for worker in group if worker.spans),
        )
        for node, group in sorted(groups.items())
    ]


def _stragglers(workers: Iterable[WorkerLife]) -> list[Straggler]:
    modules: dict[str, list[WorkerLife]] = {}
    for worker in workers:
        if worker.spans:
            modules.setdefault(worker.module, []).append(worker)
    found: list[Straggler] = []
    for group in modules.values():
        if len(group) < _FEW:
            continue
        busy = {worker.number: worker.busy for worker in group}
        usual = median(busy.values())
        mean = median(_mean(worker.spans) for worker in group)
        for worker in group:
            own = _mean(worker.spans)
            more = busy[worker.number] / usual if usual else 1.0
            slower = own / mean if mean else 1.0
            is_far = more > _FAR and busy[worker.number] - usual > _LEAST
            if is_far or (slower > _FAR and (own - mean) * worker.calls > _LEAST):
                found.append(Straggler(worker.name, worker.node, worker.calls, busy[worker.number], more, slower))
    return sorted(found, key=lambda one: -max(one.more, one.slower))
