"""The processes of a launcher's workers: their signals, their ends, and what they leave behind."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from time import monotonic, sleep

__all__ = ["Children", "is_tracker"]

# Seconds between SIGTERM, which a worker may use to clean up, and SIGKILL.
_GRACE = 1.0
# Seconds that trackers of shared memory get to clean up at the end, and between two looks whether they have.
_CLEANING, _PAUSE = 1.0, 0.01
# Seconds that a process which is being started gets to show what it is.
_BEGINNING = 0.5


class Children:
    """
    The workers' processes, each the leader of a group that holds whatever it starts itself and ends with it.

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
                self._end(pid, signal.SIGKILL)
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
                self._end_group(pid)
            code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            self._doomed.pop(pid, None)
            yield pid, self._workers.pop(pid, None), code

    def sweep(self) -> None:
        """End, when the workers have ended, what they or the module left running."""
        deadline = monotonic() + _CLEANING
        while orphans := _children() - self._helpers:  # in groups of their own; their children come next
            cleaning = {pid for pid in orphans if is_tracker(pid)} if monotonic() < deadline else set()
            for pid in orphans - cleaning:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
            for pid in cleaning:
                os.waitpid(pid, os.WNOHANG)
            if cleaning == orphans:
                sleep(_PAUSE)
        for pid in _children() & self._helpers:
            os.kill(pid, signal.SIGTERM)

    def _end(self, pid: int, number: int) -> None:
        if number == signal.SIGTERM:
            _signal_group(pid, number)
            self._doomed.setdefault(pid, monotonic() + _GRACE)
        else:
            os.kill(pid, number)  # it is not reaped yet; its group follows then

    def _end_group(self, group: int) -> None:
        """Kill what a worker that has ended left running, but let what cleans up behind it do so."""
        orphans = _children() - self._workers.keys() - self._helpers
        if not any(_group_of(pid) == group for pid in orphans):
            _signal_group(group, signal.SIGKILL)  # nobody is there, as a rule
            return
        for pid in _processes():
            if pid != group and _group_of(pid) == group and not is_tracker(pid):
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)


def _children() -> set[int]:
    try:
        with open(f"/proc/self/task/{os.getpid()}/children") as file:
            return set(map(int, file.read().split()))
    except OSError:  # a kernel without this list, or no /proc
        return set()


def _processes() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdecimal()]


def _group_of(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return None


def is_tracker(pid: int) -> bool:
    """
    Tell whether a process is a resource tracker of multiprocessing.

    It removes what processes that have ended without doing so left in shared memory, and ends by itself when the last
    of those that can reach it does.
    """
    try:
        command = _command(pid)
        deadline = monotonic() + _BEGINNING
        while not command and monotonic() < deadline:  # amid its exec: it has left its parent's and has none yet
            os.readlink(f"/proc/{pid}/exe")  # one that has ended has none
            sleep(_PAUSE)
            command = _command(pid)
    except OSError:
        return False
    return b"resource_tracker import main" in command


def _command(pid: int) -> bytes:
    with open(f"/proc/{pid}/cmdline", "rb") as file:
        return file.read()


def _signal_group(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)
