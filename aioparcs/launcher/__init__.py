"""
What ``python main.py`` becomes when it reaches ``serve``: a fork server, its control side, and the workers.

The process that ran the module's top level stays free of threads and event loops, and forks; the control side
is a process beside it that keeps the connection to the runner. When the runner is gone, or either of the two,
the workers are killed, whatever they compute.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable

from aioparcs.errors import ParcsError
from aioparcs.launcher.child import become_worker, die_with_parent, free_cpus
from aioparcs.launcher.connect import connect
from aioparcs.launcher.control import Control
from aioparcs.launcher.nursery import Nursery
from aioparcs.launcher.output import PROGRESS
from aioparcs.launcher.place import Home, Place, pass_token
from aioparcs.settings import Settings

new_loop: Callable[[], asyncio.AbstractEventLoop]
try:  # here, and not where it is used: what the launcher has loaded its workers share
    from uvloop import new_event_loop as new_loop
except ImportError:
    from asyncio import new_event_loop as new_loop

__all__ = [
    "PROGRESS",
    "Home",
    "Place",
    "become_worker",
    "connect",
    "die_with_parent",
    "free_cpus",
    "launch",
    "new_loop",
    "pass_token",
]


def launch(home: Home, settings: Settings, work: Callable[[Place], int], *, fork: bool) -> int:
    """
    Be the launcher until the runner ends the job.

    Args:
        home: where the runner is.
        settings: limits and deadlines.
        work: what a worker does with its place; returns its exit code.
        fork: False to give each worker a fresh interpreter.

    Returns:
        The exit code.
    """
    problem = _why_not_fork() if fork else None
    if problem:
        print(f"error: {problem}", file=sys.stderr)
        return 1
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    reading, writing = os.pipe2(os.O_CLOEXEC)
    os.set_blocking(writing, False)
    parent = os.getpid()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        ours.close()
        os.close(writing)
        die_with_parent(parent)
        os._exit(_control(home, settings, theirs, reading))
    theirs.close()
    os.close(reading)
    return Nursery(home, ours, pid, writing, work, fork=fork).serve()


def _control(home: Home, settings: Settings, nursery: socket.socket, progress: int) -> int:
    # The fork server passes SIGTERM on; this side ends when the server does, having told the runner.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)

    async def run() -> None:
        await Control(home, settings, nursery, progress).run()

    try:
        with asyncio.Runner(loop_factory=new_loop) as runner:
            runner.run(run())
    except ParcsError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        return 1
    return 0


def _why_not_fork() -> str | None:
    """Say why a fork of this process would not be a sound worker, or None."""
    others = [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
    if others:
        return (
            f"main.py started threads before serve() ({', '.join(others)}), and a forked worker would lose them; "
            "start them inside the service, or call serve(..., fork=False)"
        )
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return None
    return "serve() was called inside an event loop; call it at the end of main.py, outside of any coroutine"
