"""Checks of fork safety: the threads, connections and limits that would break a forked worker."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import signal
import socket
import stat
import threading
import warnings
from time import monotonic, sleep

__all__ = ["fork_without_warning", "launch_blocked_reason", "open_connections", "threads_lost_by_fork"]

# Seconds in which a thread that was joined is gone for the kernel too.
_END_OF_THREAD = 0.1
# Seconds in which a fork that does nothing has ended, if forks end at all.
_TRIAL = 10.0
# Threads that a message names.
_NAMED = 5


def launch_blocked_reason() -> str | None:
    """Return the reason why this process can't become a launcher at all, or None."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return None
    return "serve() was called inside an event loop; call it at the end of main.py, outside of any coroutine"


def threads_lost_by_fork() -> list[str]:
    """
    Return the names of the threads that a forked worker would need and not have, those of native libraries too.

    A fork that does nothing is made first: libraries that survive one, such as OpenBLAS, end their threads before
    it and start them again when they need them. Those of OpenMP and of Rust's pools are still there, and a fork waits
    for them without end.

    Returns:
        The names, or [] when a fork is sound.

    Raises:
        TimeoutError: a fork of this process hangs; says what to do.
    """
    if len(before := _threads()) < 2:
        return []
    pid = fork_without_warning()
    if pid == 0:
        os._exit(0)
    _await_trial(pid, before)
    deadline = monotonic() + _END_OF_THREAD
    while len(threads := _threads()) > 1 and monotonic() < deadline:
        sleep(0.001)
    return _names_of(threads)


def _await_trial(pid: int, threads: dict[int, str]) -> None:
    """Wait for the end of a fork that does nothing; one that hangs is killed."""
    deadline = monotonic() + _TRIAL
    while not os.waitpid(pid, os.WNOHANG)[0]:
        if monotonic() >= deadline:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise TimeoutError(
                f"main.py started threads before serve() ({', '.join(_names_of(threads))}), and a fork of it hangs; "
                "start them inside the service"
            )
        sleep(0.001)


def _names_of(threads: dict[int, str]) -> list[str]:
    """Return the names of threads, without this process's first one; of many only some."""
    known = {thread.native_id: thread.name for thread in threading.enumerate()}
    others = {number: name for number, name in threads.items() if number != os.getpid()}
    names = list(dict.fromkeys(known.get(number) or name for number, name in others.items()))
    return names if len(names) <= _NAMED else [*names[:_NAMED], f"{len(names) - _NAMED} more"]


def fork_without_warning() -> int:
    """Fork without Python's warning of other threads, which -W error would make an error after the fork."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def _threads() -> dict[int, str]:
    """Return this process's threads: their kernel's numbers and names."""
    threads = {}
    for number in os.listdir("/proc/self/task"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            with open(f"/proc/self/task/{number}/comm", errors="replace") as file:
                threads[int(number)] = file.read().rstrip("\n")
    return threads


def open_connections() -> list[str]:
    """
    Return the names of the connections that this program has opened, and that all its forks would share.

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
