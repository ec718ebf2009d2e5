"""The reaper of a launcher's workers: signals to them, their exit codes, and what they leave behind."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from time import monotonic, sleep

from aioparcs import deadlines
from aioparcs.launcher.remains import PATIENCE, PAUSE, group_of, kill_remains, may_be_tracker

__all__ = ["ProcessReaper"]


class ProcessReaper:
    """
    The workers' processes, each the leader of a group that holds whatever it starts itself and ends with it.

    Children that exist already are the module's own; they are asked to end when the launcher does.
    """

    def __init__(self) -> None:
        self._workers: dict[int, int | None] = {}  # by process id; None: its start was not reported
        self._kill_deadlines: dict[int, float] = {}  # when SIGKILL follows SIGTERM, by process id
        self._remains: dict[int, float] = {}  # groups whose leaders have ended: until when trackers in them are spared
        self._helpers = _children()

    def __bool__(self) -> bool:
        return bool(self._workers)

    def add(self, pid: int, worker: int) -> None:
        """Add a worker's process that was just forked."""
        self._workers[pid] = worker
        try:
            os.setpgid(pid, pid)  # it does so too: whichever of the two is first, the group exists
        except (ProcessLookupError, PermissionError):
            pass

    def kill_unannounced(self, pid: int) -> None:
        """Kill a worker whose start could not be reported, and don't report its end."""
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
        """Kill the workers whose time to end is over; returns the milliseconds until the next is due, None for none."""
        for group, until in list(self._remains.items()):
            del self._remains[group]
            if group not in self._workers:  # if it was empty, its number may be a new worker's
                self._end_rest(group, until)
        now = monotonic()
        for pid, deadline in list(self._kill_deadlines.items()):
            if now >= deadline:
                del self._kill_deadlines[pid]
                self._end(pid, signal.SIGKILL)
        times = [*self._kill_deadlines.values(), *([now + PAUSE] if self._remains else [])]
        return max(0.0, min(times) - now) * 1000 + 1 if times else None

    def reap(self) -> Iterator[tuple[int, int | None, int]]:
        """Yield each child that has ended: its process id, its worker's number or None, and its exit code."""
        while True:
            try:
                # Left in place until its group is killed: until then its number isn't used again.
                ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if ended is None:
                return
            pid = ended.si_pid
            if pid in self._workers:
                self._end_group(pid)
            code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            self._kill_deadlines.pop(pid, None)
            yield pid, self._workers.pop(pid, None), code

    def kill_orphans(self) -> None:
        """Kill, when the workers have ended, what they or the module left running."""
        deadline = monotonic() + deadlines.TRACKER_CLEANUP
        while orphans := _children() - self._helpers:  # in groups of their own; their children come next
            cleaning = {pid for pid in orphans if may_be_tracker(pid)} if monotonic() < deadline else set()
            for pid in orphans - cleaning:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
            for pid in cleaning:
                os.waitpid(pid, os.WNOHANG)
            if cleaning == orphans:
                sleep(PAUSE)
        for pid in _children() & self._helpers:
            os.kill(pid, signal.SIGTERM)

    def _end(self, pid: int, number: int) -> None:
        if number == signal.SIGTERM:
            _signal_group(pid, number)
            self._kill_deadlines.setdefault(pid, monotonic() + deadlines.WORKER_CLEANUP)
        else:
            os.kill(pid, number)  # it is not reaped yet; its group follows then

    def _end_group(self, group: int) -> None:
        """Kill what a worker that has ended left running, except the trackers that clean up behind it."""
        orphans = _children() - self._workers.keys() - self._helpers
        if not any(group_of(pid) == group for pid in orphans):
            _signal_group(group, signal.SIGKILL)  # it is empty, as a rule
        else:
            self._end_rest(group, monotonic() + PATIENCE)

    def _end_rest(self, group: int, until: float) -> None:
        """Kill the rest of a group, without waiting for processes that may still turn out to be trackers."""
        if kill_remains(group, patient=monotonic() < until):
            self._remains[group] = until


def _children() -> set[int]:
    try:
        with open(f"/proc/self/task/{os.getpid()}/children") as file:
            return set(map(int, file.read().split()))
    except OSError:  # a kernel without this list, or no /proc
        return set()


def _signal_group(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)
