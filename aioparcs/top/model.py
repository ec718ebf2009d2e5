"""A job as a screen knows it, from the messages about it."""

from __future__ import annotations

from collections import deque
from typing import Any

from aioparcs.monitor.records import (
    Calls,
    Explanation,
    FunctionRow,
    Message,
    ModuleRow,
    Overview,
    PoolRow,
    WorkerRow,
)

__all__ = ["JobModel", "WorkerView", "viewed"]

_LINES, _FAILURES = 2000, 50  # as many as messages have at most


class JobModel:
    """
    A job; see `Message` for the rows.

    Attributes:
        overview: its first lines; None before the first message.
        now: seconds since it began.
    """

    def __init__(self) -> None:
        self.overview: Overview | None = None
        self.now = 0.0
        self.pools: list[PoolRow] = []
        self.modules: list[ModuleRow] = []
        self.functions: list[FunctionRow] = []
        self.explain: list[Explanation] = []
        self.workers: dict[int, WorkerRow] = {}
        self.series: Calls = []
        self.log: deque[list[Any]] = deque(maxlen=_LINES)
        self.failures: deque[list[Any]] = deque(maxlen=_FAILURES)

    def apply(self, message: Message) -> None:
        """Apply a message."""
        self.now = message["now"]
        self.overview = message.get("overview", self.overview)
        self.pools = message.get("pools", self.pools)
        self.modules = message.get("modules", self.modules)
        self.functions = message.get("functions", self.functions)
        self.explain = message.get("explain", self.explain)
        if message.get("workersReset"):
            self.workers.clear()
        self.workers.update((row["number"], row) for row in message.get("workers", ()))
        if message.get("seriesReset"):
            self.series = []
        self.series += message.get("series", ())
        self.log += message.get("log", ())
        self.failures += message.get("failures", ())

    @property
    def is_running(self) -> bool:
        """Whether the job still runs, as far as is known."""
        return self.overview is not None and self.overview["state"] == "running"

    @property
    def has_calls(self) -> bool:
        """Whether the calls of the job are recorded, as far as is known."""
        return self.overview is None or self.overview["hasCalls"]

    def lines_of(self, worker: int) -> Calls:
        """Return the last lines of a worker."""
        return [row for row in self.log if row[3] == worker]


class WorkerView(WorkerRow):
    """
    A worker at a time.

    ``share`` is the share of its time in which it was in a call, None if that isn't known; ``has_calls`` says whether
    its calls are recorded.
    """

    now: float
    share: float | None
    has_calls: bool


def viewed(row: WorkerRow, now: float, *, has_calls: bool) -> WorkerView:
    """Return a worker as it is at a time, in seconds since its job began, and whether its calls are recorded."""
    return {**row, "now": now, "share": _busy_share(row, now) if has_calls else None, "has_calls": has_calls}


def _busy_share(row: WorkerRow, now: float) -> float | None:
    if row["connected"] is None:
        return None
    end = now if row["ended"] is None else row["ended"]
    current = row["current"]
    busy = row["busy"] + (max(0.0, now - current["begin"]) if current else 0.0)
    return min(1.0, busy / (end - row["connected"])) if end > row["connected"] else None
