"""The requests of a process to the kernel about its parent and its descendants."""

from __future__ import annotations

import ctypes
import os
import signal

__all__ = ["adopt_orphans", "die_with_parent", "libc", "renounce_privileges"]

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER, _PR_SET_NO_NEW_PRIVS = 1, 36, 38
libc = ctypes.CDLL(None, use_errno=True)  # loaded before any fork: a child should do as little as possible


def die_with_parent(parent: int, number: int = signal.SIGKILL) -> None:
    """Set the signal that the kernel sends this process when its parent ends; exit if it has ended already."""
    libc.prctl(_PR_SET_PDEATHSIG, number)
    if os.getppid() != parent:
        os._exit(1)


def adopt_orphans() -> None:
    """Set this process as the parent of descendants that lose theirs, as process 1 is anyway."""
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1)


def renounce_privileges() -> None:
    """
    Set for this process and its children that no program, as one that is setuid, gets more privileges than they have.

    Only for process 1 of a container without capabilities: the older Docker engines know no such option.
    """
    if os.getpid() == 1:
        with open("/proc/self/status", "rb") as status:
            if b"\nCapBnd:\t0000000000000000\n" in status.read():
                libc.prctl(_PR_SET_NO_NEW_PRIVS, *map(ctypes.c_ulong, (1, 0, 0, 0)))
