"""
The launcher, the role of ``python main.py`` when it calls ``serve``: fork server, control side and workers.

The process that ran the module's top level stays free of threads and event loops, and forks; the control side
is a process beside it that keeps the connection to the runner. When the runner is gone, or either of the two,
the workers are killed, whatever they compute.
"""

from __future__ import annotations

import asyncio
import atexit
import gc
import os
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable
from typing import NoReturn

from aioparcs import deadlines
from aioparcs.errors import ParcsError
from aioparcs.launcher.agent import LauncherAgent
from aioparcs.launcher.child import become_worker, die_with_parent, warm_up
from aioparcs.launcher.connect import Connection, adopt, connect, connect_now
from aioparcs.launcher.context import RunnerEndpoint, WorkerContext, pass_token
from aioparcs.launcher.exiting import flush_output, take_stock
from aioparcs.launcher.fork_safety import (
    fork_without_warning,
    launch_blocked_reason,
    open_connections,
    threads_lost_by_fork,
)
from aioparcs.launcher.fork_server import ForkServer
from aioparcs.launcher.lines import Lines
from aioparcs.launcher.logs import show_logs
from aioparcs.launcher.output import PROGRESS
from aioparcs.launcher.random_state import shared_generators
from aioparcs.launcher.remains import PATIENCE, PAUSE, groups_of, kill_remains
from aioparcs.launcher.sources import is_installed, report_sources
from aioparcs.settings import Settings

new_loop: Callable[[], asyncio.AbstractEventLoop]
try:  # here, and not where it is used: what the launcher has loaded its workers share
    from uvloop import new_event_loop as new_loop
except ImportError:
    from asyncio import new_event_loop as new_loop

__all__ = [
    "PATIENCE",
    "PAUSE",
    "PROGRESS",
    "Connection",
    "Lines",
    "RunnerEndpoint",
    "WorkerContext",
    "adopt",
    "become_worker",
    "connect",
    "connect_now",
    "die_with_parent",
    "groups_of",
    "is_installed",
    "kill_remains",
    "launch",
    "new_loop",
    "pass_token",
    "show_logs",
]


def launch(
    home: RunnerEndpoint,
    settings: Settings,
    work: Callable[[WorkerContext], int],
    *,
    fork: bool,
    prewarm: Callable[[], None],
) -> NoReturn:
    """
    Run the launcher until the runner ends the job; ends the process.

    Args:
        home: where the runner is.
        settings: limits and deadlines.
        work: what a worker does with its place; returns its exit code.
        fork: False to give each worker a fresh interpreter, which is done as well when a fork would lose threads.
        prewarm: does once what each forked worker will do, and leaves no loop or thread behind.
    """
    report_sources()
    threads: list[str] = []
    problem = launch_blocked_reason()
    try:
        if fork and not problem:
            threads = threads_lost_by_fork()
    except TimeoutError as error:  # its control side would hang as well
        problem = str(error)
    if problem:
        print(f"error: {problem}", file=sys.stderr)
        _end(1)
    if threads:
        fork = False
        _warn(
            f"main.py started threads before serve() ({', '.join(threads)}), and a forked worker would lose them: "
            "each worker runs main.py anew, and shares no memory; "
            "start them inside the service, or say so with serve(..., fork=False)"
        )
    if fork:
        for name in open_connections():
            _warn(
                f"main.py opened a connection before serve() ({name}), and all workers would share it; "
                "open it inside the service, or call serve(..., fork=False)"
            )
        if names := shared_generators():
            _warn(
                f"main.py made random generators before serve() ({', '.join(names)}), so all workers draw the same "
                "numbers from them; make them in setup() or in the service, with a seed for each worker"
            )
    warm_up()
    if fork:
        prewarm()
    # What the module's top level made is everybody's: keep the collector from touching, and so copying, it.
    gc.collect()
    inheritance = take_stock()
    gc.freeze()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    reading, writing = os.pipe2(os.O_CLOEXEC)
    os.set_blocking(writing, False)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)  # workers have no input
    if nothing:
        os.close(nothing)
    fork_server = ForkServer(home, ours, writing, work, inheritance, fork=fork)
    parent = os.getpid()
    flush_output()
    pid = fork_without_warning()
    if pid == 0:
        die_with_parent(parent)
        ours.close()
        os.close(writing)
        _control(home, settings, theirs, reading, parent)
    theirs.close()
    os.close(reading)
    _end(fork_server.serve(pid))


def _control(
    home: RunnerEndpoint, settings: Settings, fork_server: socket.socket, progress: int, server: int
) -> NoReturn:
    """Run the control side; whatever happens, the module's own code after its fork is never reached."""
    code = 1
    try:
        # The fork server deals with SIGTERM; this side ends when the server does, after its report to the runner.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.set_wakeup_fd(-1)

        async def run() -> None:
            await LauncherAgent(home, settings, fork_server, progress).run()

        with asyncio.Runner(loop_factory=new_loop) as runner:
            runner.run(run())
        code = 0
    except ParcsError as error:
        print(f"error: {error}", file=sys.stderr)
    except BaseException:
        traceback.print_exc()
    finally:
        flush_output()
        os.kill(server, signal.SIGCONT)  # if it is stopped: it ends when this process does, and its workers with it
        os._exit(code)


def _warn(text: str) -> None:
    print(f"warning: {text}", file=sys.stderr)


def _end(code: int) -> NoReturn:
    """End the process after the module's exit functions, but without waiting for its threads."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(deadlines.EXIT_FUNCTIONS + 1)  # for those who let no thread run
    timer = threading.Timer(deadlines.EXIT_FUNCTIONS, _give_up)
    timer.daemon = True
    timer.start()
    try:
        atexit._run_exitfuncs()
    except BaseException:
        traceback.print_exc()
    finally:
        flush_output()
        os._exit(code)


def _give_up() -> None:
    _warn(
        f"the exit functions of main.py (atexit) ran for {deadlines.EXIT_FUNCTIONS} s, and end now with its launcher; "
        "what takes longer belongs into the service"
    )
    flush_output()
    os.kill(os.getpid(), signal.SIGALRM)
