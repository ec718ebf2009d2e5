"""The processes of a launcher's workers: their signals, their ends, and what they leave behind."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from time import monotonic

__all__ = ["Children"]

# Seconds between SIGTERM, which a worker may use to clean up, and SIGKILL.
_GRACE = 1.0


class Children:
    """
    The workers' processes, each the leader of a group that holds whatever it starts itself.

    Children that exist already are the module's own; they are asked to end when the launcher does.
    """

    def __init__(self) -> None:
        self._workers: dict[int, int | None] = {}  # by process id; None: nobody was told of it
        self._doomed: dict[int, float] = {}  # when SIGKILL follows SIGTERM, by process id
        self._helpers = _children()

    def __bool__(self) -> bool:
        return bool(self._workers)

    def add(self, pid: int, worker: int) -> None:
        """Take a worker's process that was just forked."""
        self._workers[pid] = worker
        try:
            os.setpgid(pid, pid)  # it does so too: whoever comes first, the group exists
        except (ProcessLookupError, PermissionError):
            pass

    def disown(self, pid: int) -> None:
        """Kill a worker that nobody was told of, and tell nobody of its end."""
        self._workers[pid] = None
        self._end(pid, signal.SIGKILL)

    def kill(self, worker: int, number: int) -> None:
        """Send one worker, and what it started, a signal; SIGTERM is followed by SIGKILL."""
        for pid, other in self._workers.items():
            if other == worker:
                self._end(pid, number)

    def kill_all(self, number: int) -> None:
        """Send all workers, and what they started, a signal; SIGTERM is followed by SIGKILL."""
        for pid in self._workers:
            self._end(pid, number)

    def kill_overdue(self) -> float | None:
        """Kill who had his time to end; returns milliseconds until the next one's is over, None for nobody's."""
        now = monotonic()
        for pid, deadline in list(self._doomed.items()):
            if now >= deadline:
                del self._doomed[pid]
                _signal_group(pid, signal.SIGKILL)
        return max(0.0, min(self._doomed.values()) - now) * 1000 + 1 if self._doomed else None

    def reap(self) -> Iterator[tuple[int, int | None, int]]:
        """Give each child that has ended: its process id, its worker's number or None, and its exit code."""
        while True:
            try:
                # Left in place until its group is killed: until then its number is nobody else's.
                ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if ended is None:
                return
            pid = ended.si_pid
            if pid in self._workers:
                _signal_group(pid, signal.SIGKILL)
            code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            self._doomed.pop(pid, None)
            yield pid, self._workers.pop(pid, None), code

    def sweep(self) -> None:
        """End, when the workers have ended, what they or the module left running."""
        while orphans := _children() - self._helpers:  # in groups of their own; their children come next
            for pid in orphans:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
        for pid in _children() & self._helpers:
            os.kill(pid, signal.SIGTERM)

    def _end(self, pid: int, number: int) -> None:
        _signal_group(pid, number)
        if number == signal.SIGTERM:
            self._doomed.setdefault(pid, monotonic() + _GRACE)


def _children() -> set[int]:
    try:
        with open(f"/proc/self/task/{os.getpid()}/children") as file:
            return set(map(int, file.read().split()))
    except OSError:  # a kernel without this list, or no /proc
        return set()


def _signal_group(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)
