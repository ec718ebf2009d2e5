"""The processor time and memory that the processes of workers use, as the kernel counts them."""

from __future__ import annotations

import os
from itertools import islice
from time import monotonic

from aioparcs.messages.watching import MOST_USAGES, Usage, WorkerUse

__all__ = ["UsageMeter"]

_TICKS = os.sysconf("SC_CLK_TCK")  # of processor time in a second
_PAGE = os.sysconf("SC_PAGE_SIZE")


class UsageMeter:
    """Measures the workers of a launcher when it is asked to; it costs nothing otherwise."""

    def __init__(self) -> None:
        self._processes: dict[int, _Process] = {}

    def add(self, worker: int, pid: int) -> None:
        """Measure a worker from now on, which is when its process has begun."""
        self._processes[worker] = _Process(pid)

    def remove(self, worker: int) -> None:
        """Measure a worker no more."""
        self._processes.pop(worker, None)

    def measure(self) -> Usage:
        """Return what workers have used since they were last measured, or since they began."""
        used = ((worker, process.measure()) for worker, process in islice(self._processes.items(), MOST_USAGES))
        return Usage([WorkerUse(worker, *use) for worker, use in used if use is not None])


class _Process:
    """A process, and what it had used when it was last measured."""

    __slots__ = ("_pid", "_seconds", "_since")

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._since = monotonic()
        self._seconds = 0.0

    def measure(self) -> tuple[float, int] | None:
        """Return the share of one core that it has used since, and its memory in bytes; None if it has ended."""
        try:
            with open(f"/proc/{self._pid}/stat", "rb") as file:
                stat = file.read().rpartition(b")")[2].split()  # its name may have spaces, and parentheses
        except OSError:
            return None
        now, seconds = monotonic(), (int(stat[11]) + int(stat[12])) / _TICKS
        passed, used = now - self._since, seconds - self._seconds
        self._since, self._seconds = now, seconds
        return (round(used / passed, 3) if passed > 0 else 0.0), int(stat[21]) * _PAGE
