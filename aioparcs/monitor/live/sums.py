"""The sums over the workers of a job, with those whose rows were dropped."""

from __future__ import annotations

from collections.abc import Mapping

from aioparcs.monitor.live.worker import Worker
from aioparcs.monitor.records import Channel, NodeRow, rounded

__all__ = ["UNUSED", "WorkerSums"]

UNUSED: Channel = {"sent": 0, "received": 0, "bytesSent": 0, "bytesReceived": 0, "queued": 0, "unread": 0}
"""The channel of a worker that was sent nothing, and has sent nothing."""


class WorkerSums:
    """
    Adds up what workers have done.

    Args:
        workers: those that have a row, by number.
    """

    def __init__(self, workers: Mapping[int, Worker]) -> None:
        self._workers = workers
        self._nodes: dict[str, list[float]] = {}  # node: workers, lost ones, calls and busy seconds of dropped rows
        self._available = 0.0  # the seconds in which workers of dropped rows could have had calls
        self._channel = UNUSED.copy()  # the sums of what channels of dropped rows have carried

    def keep(self, worker: Worker) -> None:
        """Keep what a worker adds to the sums: its row is dropped."""
        past = self._nodes.setdefault(worker.node, [0, 0, 0, 0.0])
        past[0] += 1
        past[1] += worker.how == "lost"
        past[2] += worker.calls
        past[3] += worker.busy
        self._available += worker.available(worker.ended or 0.0) if worker.calls else 0.0
        if worker.channel:
            self._channel = _sum_of(self._channel, worker.channel)

    def nodes(self) -> list[NodeRow]:
        """Return the sums over the workers of each node, by name."""
        sums = {node: [workers, 0, lost, calls, busy] for node, (workers, lost, calls, busy) in self._nodes.items()}
        for worker in self._workers.values():
            own = sums.setdefault(worker.node, [0, 0, 0, 0, 0.0])
            own[0] += 1
            own[1] += worker.connected is not None and not worker.how
            own[2] += worker.how == "lost"
            own[3] += worker.calls
            own[4] += worker.busy
        return [_node_row(node, own) for node, own in sorted(sums.items())]

    def carried(self) -> Channel:
        """Return what the channels of all workers have carried so far, with those of dropped rows; nothing waits."""
        carried = self._channel
        for worker in self._workers.values():
            carried = _sum_of(carried, worker.channel) if worker.channel else carried
        return carried

    def utilisation(self, now: float) -> float | None:
        """Return the share of time in which workers of modules that have calls were in one; None without calls."""
        modules = {worker.module for worker in self._workers.values() if worker.calls or worker.current}
        members = [worker for worker in self._workers.values() if worker.module in modules]
        available = self._available + sum(worker.available(now) for worker in members)
        busy = sum(past[3] for past in self._nodes.values()) + sum(worker.busy_until(now) for worker in members)
        return round(min(1.0, busy / available), 4) if available > 0 else None


def _sum_of(one: Channel, other: Channel) -> Channel:
    """Return the sums of what two channels have carried."""
    return {
        "sent": one["sent"] + other["sent"], "received": one["received"] + other["received"],
        "bytesSent": one["bytesSent"] + other["bytesSent"],
        "bytesReceived": one["bytesReceived"] + other["bytesReceived"], "queued": 0, "unread": 0,
    }  # fmt: skip


def _node_row(node: str, sums: list[float]) -> NodeRow:
    workers, up, lost, calls, busy = sums
    return {"node": node, "workers": int(workers), "up": int(up), "lost": int(lost), "calls": int(calls),
            "busy": rounded(busy)}  # fmt: skip
