"""Processes that a program has left running at its end: all are killed, except the trackers that clean up."""

from __future__ import annotations

import contextlib
import os
import signal

__all__ = ["PATIENCE", "PAUSE", "group_of", "groups_of", "kill_remains", "may_be_tracker"]

# Seconds that a process which is being started gets to show what it is, and between two looks whether it has.
PATIENCE, PAUSE = 0.5, 0.01
# A resource tracker of multiprocessing removes what processes that have ended without doing so left in shared memory,
# and ends by itself when the last of those that can reach it does.
_TRACKER = b"resource_tracker import main"


def groups_of(session: int) -> set[int]:
    """Return the process groups of a session."""
    groups = set()
    for pid in _processes():
        with contextlib.suppress(OSError):  # it has ended
            if os.getsid(pid) == session:
                groups.add(os.getpgid(pid))
    return groups


def kill_remains(group: int, *, patient: bool) -> bool:
    """
    Kill a process group other than this process's, except for trackers.

    Args:
        group: its number.
        patient: spare those that are in their exec too, which may be trackers.

    Returns:
        True if there were any of those: look again soon.
    """
    unclear = False
    # Stopped, so that no process forks during this search: some fork faster than any search.
    _signal(-group, signal.SIGSTOP)
    for pid in _processes():
        if group_of(pid) != group or (command := _command(pid)) is None or _TRACKER in command:
            continue
        if command or not patient:
            _signal(pid, signal.SIGKILL)
        else:
            unclear = True
    _signal(-group, signal.SIGCONT)
    return unclear


def _signal(target: int, number: int) -> None:
    """Send a signal to a process, or to a group by its negative number."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(target, number)


def _processes() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdecimal()]


def group_of(pid: int) -> int | None:
    """Return the process group of a process, None when it has ended."""
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return None


def may_be_tracker(pid: int) -> bool:
    """Return True for a resource tracker of multiprocessing, and for a process in its exec, which may become one."""
    command = _command(pid)
    return command == b"" or _TRACKER in (command or b"")


def _command(pid: int) -> bytes | None:
    """Return a command line: None for a process that has ended, empty for one in its exec."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            command = file.read()
        if not command:
            os.readlink(f"/proc/{pid}/exe")  # one that has ended has none
    except OSError:
        return None
    return command
