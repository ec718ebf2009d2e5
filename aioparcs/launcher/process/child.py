"""The worker process: its setup after the fork, the run of its program, and its end."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sys

# `signal` wraps it in enums, whose making each worker would pay. And no attributes of modules: where they are looked up
# for the first time, a fork copies a page for their name, and one for Python's cache of types.
from _signal import (  # type: ignore[import-not-found]
    SIG_BLOCK,
    SIG_DFL,
    SIG_UNBLOCK,
    pthread_sigmask,
    set_wakeup_fd,
)
from _signal import signal as set_handler
from collections.abc import Mapping
from os import dup2, setpgid
from typing import Any

from aioparcs import deadlines
from aioparcs.auth import proof
from aioparcs.launcher.context import WorkerContext, WorkerProgram
from aioparcs.launcher.process.breakpoints import set_breakpoint_hook
from aioparcs.launcher.process.exiting import Inherited, clean_up, clear_inherited_cleanup
from aioparcs.launcher.process.limits import apply_limits
from aioparcs.launcher.process.logs import show_logs
from aioparcs.launcher.process.prctl import die_with_parent, libc
from aioparcs.launcher.process.shared_memory import track_only_own
from aioparcs.launcher.process.stack_dumps import answer_signals

__all__ = [
    "SIGNALS",
    "TERMINATED",
    "become_worker",
    "block_signals",
    "exit_code",
    "run",
    "set_handler",
    "unblock_signals",
    "warm_up",
]

# Those that the fork server handles. They are blocked around a fork: a child must never run its parent's handlers.
SIGNALS = (int(signal.SIGTERM), int(signal.SIGCHLD), int(signal.SIGCONT))

# The exit code of a worker that SIGTERM has ended.
TERMINATED = 128 + signal.SIGTERM


def warm_up() -> None:
    """Prepare, once and before any fork, what each worker would otherwise prepare with memory and time of its own."""
    show_logs()
    proof(b"", "", b"")  # has OpenSSL load its digests
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and not stream.closed:  # the module may have put another in its place
            with contextlib.suppress(OSError):  # what waits in it finds no room
                stream.reconfigure(line_buffering=True)


def block_signals() -> None:
    """Block `SIGNALS`, as around each fork."""
    pthread_sigmask(SIG_BLOCK, SIGNALS)


def unblock_signals() -> None:
    """Unblock `SIGNALS`; those that are pending are delivered."""
    pthread_sigmask(SIG_UNBLOCK, SIGNALS)


def become_worker(parent: int, output: int, limits: Mapping[str, Any], worker: int) -> None:
    """
    Set up a forked process as a worker of its own.

    Args:
        parent: the process id of the launcher.
        output: the descriptor that standard output and standard error go to.
        limits: ``cpus`` (whole ones) and ``memory`` (bytes), if there are any.
        worker: the worker's number; it spreads limited workers over the CPUs.
    """
    setpgid(0, 0)
    set_wakeup_fd(-1)
    for number in SIGNALS:
        set_handler(number, SIG_DFL)
    unblock_signals()
    die_with_parent(parent)
    clear_inherited_cleanup()
    dup2(output, 1)
    dup2(output, 2)
    if limits:
        apply_limits(limits, worker)


def run(program: WorkerProgram, context: WorkerContext, inheritance: Inherited) -> int:
    """
    Run a worker's program with random numbers of its own, and clean up as a Python program does.

    Args:
        program: the program.
        context: the worker's place in its job.
        inheritance: what was there before.

    Returns:
        Its exit code; what it raises is printed, and ``sys.exit`` is an end like any other.
    """
    # A fork would repeat its neighbour's; `random` sees to that itself.
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed(int.from_bytes(os.urandom(4), "big"))
    track_only_own()
    if context.records >= 0:
        answer_signals(context.records, context.worker)
    set_breakpoint_hook(f"{program.name}:{context.worker}")
    code, interrupted = 1, False
    try:
        code = program.run(context)
    except SystemExit as stop:
        code = exit_code(stop)
    except KeyboardInterrupt:
        interrupted = True
    except BaseException:
        sys.excepthook(*sys.exc_info())
    clean_up(inheritance, 0 if code == TERMINATED else deadlines.WORKER_THREADS, code)
    libc.fflush(None)  # what libraries printed without Python
    if interrupted:  # as Python does it, but without a traceback, whose frames are not the user's
        set_handler(signal.SIGINT, SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    return code


def exit_code(stop: SystemExit) -> int:
    """Return the exit code of a ``sys.exit``, and print its message if it has one, as Python does."""
    if stop.code is None or isinstance(stop.code, int):
        return (stop.code or 0) & 0xFF
    print(stop.code, file=sys.stderr)
    return 1
