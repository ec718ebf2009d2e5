"""
The start of a launcher: its checks, its two processes, and its end.

The process that ran the module's top level stays free of threads and event loops, and forks; the agent is a process
beside it that keeps the connection to the runner. When the runner is gone, or either of the two, the workers are
killed, whatever they compute.
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
from typing import NamedTuple, NoReturn

from aioparcs import deadlines
from aioparcs.errors import ParcsError
from aioparcs.launcher.agent.agent import LauncherAgent
from aioparcs.launcher.context import RunnerEndpoint, WorkerProgram
from aioparcs.launcher.fork_safety import (
    fork_without_warning,
    launch_blocked_reason,
    open_connections,
    threads_lost_by_fork,
)
from aioparcs.launcher.fork_server import ForkServer
from aioparcs.launcher.process.child import warm_up
from aioparcs.launcher.process.exiting import flush_output, inherited_state
from aioparcs.launcher.process.prctl import die_with_parent, libc, renounce_privileges
from aioparcs.launcher.random_state import shared_generators
from aioparcs.launcher.sources import report_sources
from aioparcs.loop import new_loop
from aioparcs.qualname import MAIN, QualifiedName, program_file
from aioparcs.settings import Settings

__all__ = ["launch"]


def launch(endpoint: RunnerEndpoint, settings: Settings, program: WorkerProgram, *, fork: bool) -> NoReturn:
    """
    Run the launcher until the runner ends the job; ends the process.

    Args:
        endpoint: where the runner is.
        settings: limits and deadlines.
        program: the program of its workers.
        fork: False to give each worker a fresh interpreter, which is done as well when a fork would lose threads.
    """
    renounce_privileges()
    report_sources()
    fork = _check(_loaded_by(endpoint.target), fork=fork)
    warm_up()
    inheritance = inherited_state()
    if fork:
        program.prewarm()  # behind all that looks types up: it fills Python's cache of them
    # All workers share what the module's top level made: keep the collector from touching, and so copying, it.
    gc.collect()
    gc.freeze()
    libc.malloc_trim(0)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    reading, writing = os.pipe2(os.O_CLOEXEC)
    os.set_blocking(writing, False)
    _close_input()
    fork_server = ForkServer(endpoint, ours, writing, program, inheritance, fork=fork)
    parent = os.getpid()
    flush_output()
    pid = fork_without_warning()
    if pid == 0:
        die_with_parent(parent)
        ours.close()
        os.close(writing)
        _run_agent(endpoint, settings, theirs, (reading, fork_server.records), parent)
    theirs.close()
    os.close(reading)
    _end(fork_server.serve(pid))


class _Loaded(NamedTuple):
    """How warnings name what was loaded, until when, and where its workers should do the same instead."""

    name: str
    end: str
    instead: str


def _loaded_by(target: str | None) -> _Loaded:
    """Return the words for a module with a folder of its own, or for the function or class of a program."""
    if target is None:
        return _Loaded("main.py", "before serve()", "inside the service, or call serve(..., fork=False)")
    module = QualifiedName.parse(target).module
    if module == MAIN:
        return _Loaded(program_file(), "before run()", "inside the functions, or in setup()")
    return _Loaded(module, "when it was imported", "inside its functions, or in setup()")


def _check(loaded: _Loaded, *, fork: bool) -> bool:
    """Return whether workers may be forked, with a warning of what they would lose or share; end where nothing can."""
    threads: list[str] = []
    problem = launch_blocked_reason()
    try:
        if fork and not problem:
            threads = threads_lost_by_fork()
    except TimeoutError as error:  # its agent would hang as well
        problem = str(error)
    if problem:
        print(f"error: {problem}", file=sys.stderr)
        _end(1)
    if threads:
        _warn(
            f"{loaded.name} started threads {loaded.end} ({', '.join(threads)}), and a forked worker would lose them: "
            f"each worker loads {loaded.name} again, and shares no memory; start them {loaded.instead}"
        )
        return False
    if fork:
        _warn_of_shared(loaded)
    return fork


def _warn_of_shared(loaded: _Loaded) -> None:
    for name in open_connections():
        _warn(
            f"{loaded.name} opened a connection {loaded.end} ({name}), and all workers would share it; "
            f"open it {loaded.instead}"
        )
    if names := shared_generators():
        _warn(
            f"{loaded.name} made random generators {loaded.end} ({', '.join(names)}), so all workers draw the same "
            "numbers from them; make them in setup() or in the service: aioparcs.worker_rng(SEED) is each worker's own"
        )


def _close_input() -> None:
    """Close standard input: workers have none."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    if nothing:
        os.close(nothing)


def _run_agent(
    endpoint: RunnerEndpoint, settings: Settings, fork_server: socket.socket, descriptors: tuple[int, int], server: int
) -> NoReturn:
    """Run the agent; whatever happens, the module's own code after its fork is never reached."""
    code = 1
    try:
        # The fork server deals with SIGTERM; this side ends when the server does, after its report to the runner.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.set_wakeup_fd(-1)

        async def run() -> None:
            await LauncherAgent(endpoint, settings, fork_server, *descriptors).run()

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
    timer = threading.Timer(deadlines.EXIT_FUNCTIONS, _report_overtime)
    timer.daemon = True
    timer.start()
    try:
        atexit._run_exitfuncs()
    except BaseException:
        traceback.print_exc()
    finally:
        flush_output()
        os._exit(code)


def _report_overtime() -> None:
    _warn(
        f"the exit functions of main.py (atexit) ran for {deadlines.EXIT_FUNCTIONS} s, and end now with its launcher; "
        "move longer work into the service"
    )
    flush_output()
    os.kill(os.getpid(), signal.SIGALRM)
