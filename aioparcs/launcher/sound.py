"""Whether a process can be forked and its children be sound."""

from __future__ import annotations

import asyncio
import fcntl
import os
import socket
import stat
import threading

__all__ = ["open_connections", "why_not_fork", "why_not_launch"]


def why_not_launch() -> str | None:
    """Say why this process can't become a launcher at all, or None."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return None
    return "serve() was called inside an event loop; call it at the end of main.py, outside of any coroutine"


def why_not_fork() -> str | None:
    """Say why a fork of this process would not be a sound worker, or None."""
    others = [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
    if not others:
        return None
    return (
        f"main.py started threads before serve() ({', '.join(others)}), and a forked worker would lose them; "
        "start them inside the service, or call serve(..., fork=False)"
    )


def open_connections() -> list[str]:
    """
    Name the connections that this program has opened, and all forks of it would share.

    What it inherited is no affair of its own: inherited descriptors stay open across an exec, and those that
    Python opens do not. Pairs without a name, such as an event loop's own, are passed over.
    """
    found = []
    for name in os.listdir("/proc/self/fd"):
        descriptor = int(name)
        try:
            if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
                continue
            if fcntl.fcntl(descriptor, fcntl.F_GETFD) & fcntl.FD_CLOEXEC:
                found += _names(descriptor)
        except OSError:  # the one that listdir itself had open
            continue
    return found


def _names(descriptor: int) -> list[str]:
    with socket.socket(fileno=os.dup(descriptor)) as sock:
        try:
            where, name = "to", sock.getpeername()
        except OSError:
            where, name = "at", sock.getsockname()
    if isinstance(name, bytes):
        name = name.decode(errors="replace").replace("\0", "@")
    if not isinstance(name, tuple):
        return [f"{where} {name}"] if name else []
    return [f"{where} {name[0]}:{name[1]}"]
