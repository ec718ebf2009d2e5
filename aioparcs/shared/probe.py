"""The probe: how a process finds out that it can map the memory of another one."""

from __future__ import annotations

import os
import stat
from typing import NamedTuple

from aioparcs.shared.memory import open_memory

__all__ = ["READING", "Probe", "is_reachable", "keep_spare", "own_probe", "take_spare"]

_SIZE = 16
# Nothing that may be behind a path of /proc blocks, or becomes this process's terminal.
READING = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY


class Probe(NamedTuple):
    """
    What a process says of itself: a process that can read the secret behind the descriptor can map its memory, too.

    Attributes:
        pid: its number.
        fd: a descriptor of it.
        secret: the 16 random bytes in its memory.
    """

    pid: int
    fd: int
    secret: bytes


_own: Probe | None = None
_spare = -1  # a descriptor that is given up when there is no other to open memory with


def own_probe() -> Probe | None:
    """
    Return the probe of this process, made at the first call; None where there is no such memory.

    A process that was forked has its parent's memory, by a number of its own.
    """
    global _own
    if _own is not None and _own.pid != os.getpid():
        _own = _own._replace(pid=os.getpid()) if _holds(_own.fd, _own.secret) else None
    if _own is None:
        secret = os.urandom(_SIZE)
        try:
            fd = open_memory(_SIZE)
            os.pwrite(fd, secret, 0)
        except OSError:
            return None
        _own = Probe(os.getpid(), fd, secret)
    return _own


def is_reachable(pid: int, fd: int, secret: bytes) -> bool:
    """Return True if this process can map the memory of another one that has this probe."""
    path = f"/proc/{pid}/fd/{fd}"
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            return False
        fd = os.open(path, READING)
    except (OSError, ValueError):
        return False
    try:
        return _holds(fd, secret)
    finally:
        os.close(fd)


def _holds(fd: int, secret: bytes) -> bool:
    try:
        return os.pread(fd, _SIZE + 1, 0) == secret
    except OSError:
        return False


def keep_spare() -> None:
    """Keep a descriptor, with which memory can be opened when all others are in use."""
    global _spare
    if _spare < 0:
        try:
            _spare = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            pass  # there is none now; perhaps later


def take_spare() -> bool:
    """Return whether there was such a descriptor, which is closed now."""
    global _spare
    if _spare < 0:
        return False
    os.close(_spare)
    _spare = -1
    return True
