"""The requests of a process to the kernel about its parent and its descendants."""

from __future__ import annotations

import ctypes
import os
import signal

__all__ = ["adopt_orphans", "die_with_parent", "libc"]

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
libc = ctypes.CDLL(None, use_errno=True)  # loaded before any fork: a child should do as little as possible


def die_with_parent(parent: int, number: int = signal.SIGKILL) -> None:
    """Set the signal that the kernel sends this process when its parent ends; exit if it has ended already."""
    libc.prctl(_PR_SET_PDEATHSIG, number)
    if os.getppid() != parent:
        os._exit(1)


def adopt_orphans() -> None:
    """Set this process as the parent of descendants that lose theirs, as process 1 is anyway."""
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1)
