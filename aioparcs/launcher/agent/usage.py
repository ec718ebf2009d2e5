"""The use that workers make of processors and memory, as the kernel counts it, and their channels to each other."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from itertools import islice
from time import monotonic

from aioparcs.messages.watching import MOST_PEERS, MOST_USAGES, PeerChannel, Usage, WorkerUse

__all__ = ["UsageMeter"]

_TICKS = os.sysconf("SC_CLK_TCK")  # of processor time in a second
# Pairs of workers with channels that are noted; those beyond are not shown.
_MOST_NOTED = 10_000
_PAGE = os.sysconf("SC_PAGE_SIZE")


class UsageMeter:
    """Measures the workers of a launcher when it is asked to; else it only notes their channels to each other."""

    def __init__(self) -> None:
        self._processes: dict[int, _Process] = {}
        self._peers: Counter[tuple[int, int]] = Counter()  # how many channels there are between two workers
        self._pairs: defaultdict[int, set[tuple[int, int]]] = defaultdict(set)  # by worker; some of them may be closed

    def add(self, worker: int, pid: int) -> None:
        """Measure a worker from now on, which is when its process has begun."""
        self._processes[worker] = _Process(pid)

    def remove(self, worker: int) -> None:
        """Measure a worker no more."""
        self._processes.pop(worker, None)
        for pair in self._pairs.pop(worker, ()):
            self._peers.pop(pair, None)

    def note_peer(self, worker: int, peer: int, is_open: bool) -> None:
        """Note that a worker has opened a channel to another one, or that one of those is closed."""
        pair = worker, peer
        if is_open and (pair in self._peers or len(self._peers) < _MOST_NOTED):
            self._peers[pair] += 1
            for one in pair:
                self._pairs[one].add(pair)
        elif not is_open and pair in self._peers:
            self._peers[pair] -= 1
            if not self._peers[pair]:
                del self._peers[pair]

    def measure(self) -> Usage:
        """Return what workers have used since they were last measured, or since they began."""
        used = ((worker, process.measure()) for worker, process in islice(self._processes.items(), MOST_USAGES))
        peers = [PeerChannel(*pair) for pair in islice(self._peers, MOST_PEERS)]
        return Usage([WorkerUse(worker, *use) for worker, use in used if use is not None], peers)


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
