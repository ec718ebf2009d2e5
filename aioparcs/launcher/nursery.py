"""
The fork server: the process that ran the module's top level, forks the workers and reaps them.

It has no event loop and no threads, so that a fork of it is a sound process; it waits for requests from its
control side, for the ends of its children, and for SIGTERM, all in one `poll`.
"""

from __future__ import annotations

import contextlib
import gc
import os
import select
import signal
import socket
import sys
from collections.abc import Callable
from time import monotonic
from typing import Any

import msgpack

from aioparcs.launcher.child import become_worker, run, warm_up
from aioparcs.launcher.place import Home, Place, pass_token

__all__ = ["MESSAGE_SIZE", "Nursery"]

# Bytes of one request: a worker takes less than 30 of them, and the control side splits larger requests.
MESSAGE_SIZE = 64 << 10
# Seconds between SIGTERM, which a worker may use to clean up, and SIGKILL.
_GRACE = 1.0


class Nursery:
    """
    Forks workers and tells the control side of their ends.

    Args:
        home: where the runner is.
        control: this end of the socket pair to the control side; messages keep their boundaries.
        control_pid: the control side's process id.
        progress: the descriptor that workers write their progress to.
        work: what a worker does with its place; returns its exit code.
        fork: False to give each worker a fresh interpreter.
    """

    def __init__(
        self,
        home: Home,
        control: socket.socket,
        control_pid: int,
        progress: int,
        work: Callable[[Place], int],
        *,
        fork: bool,
    ) -> None:
        self._home = home
        self._control = control
        self._control_pid = control_pid
        self._progress = progress
        self._work = work
        self._fork = fork
        self._pids: dict[int, int] = {}  # worker by process id
        self._doomed: dict[int, float] = {}  # when SIGKILL follows SIGTERM, by process id
        self._exit_code: int | None = None

    def serve(self) -> int:
        """Serve until the control side is gone or SIGTERM comes; returns the exit code, and no worker is left."""
        wake_reading, wake_writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wake_writing, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, self._terminate)
        warm_up()
        # What the module's top level made is everybody's: keep the collector from touching, and so copying, it.
        gc.collect()
        gc.freeze()
        poll = select.poll()
        poll.register(wake_reading, select.POLLIN)
        poll.register(self._control, select.POLLIN)
        try:
            while self._exit_code is None or self._pids:
                ready = dict(poll.poll(self._next_deadline()))
                if wake_reading in ready:
                    _empty(wake_reading)
                self._reap()
                self._kill_the_doomed()
                if self._control.fileno() in ready and not self._take_request():
                    poll.unregister(self._control)  # its exit code follows
                    self._kill_all(signal.SIGKILL)
        finally:
            self._kill_all(signal.SIGKILL)
        return self._exit_code

    # Requests

    def _take_request(self) -> bool:
        """Do what the control side asks; False when it is gone."""
        try:
            data = self._control.recv(MESSAGE_SIZE)
        except ConnectionResetError:
            return False
        if not data:
            return False
        verb, *arguments = msgpack.unpackb(data)
        if verb == "spawn":
            self._spawn_all(*arguments)
        elif verb == "kill":
            self._kill(*arguments)
        elif verb == "end":
            self._kill_all(signal.SIGTERM)
        return True

    def _spawn_all(self, first: int, count: int, base: int, size: int, limits: dict[str, Any]) -> None:
        for worker in range(first, first + count):
            try:
                self._spawn(Place(worker, worker - base, size, self._progress), limits)
            except OSError as error:
                self._tell("failed", worker, f"can't make a process for it: {error.strerror}")

    def _spawn(self, place: Place, limits: dict[str, Any]) -> None:
        reading, writing = os.pipe2(os.O_CLOEXEC)
        parent = os.getpid()
        sys.stdout.flush()
        sys.stderr.flush()
        try:
            pid = os.fork()
            if pid == 0:
                self._live(place, limits, parent, writing)
            self._pids[pid] = place.worker
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.setpgid(pid, pid)  # both sides do it: whoever comes first, the group exists
            self._tell("started", place.worker, pid, descriptors=[reading])
        finally:
            os.close(reading)
            os.close(writing)

    def _live(self, place: Place, limits: dict[str, Any], parent: int, output: int) -> None:
        """Be the worker; never returns."""
        code = 1
        try:
            self._control.close()
            become_worker(parent, output, limits, place.worker)
            if not self._fork:
                self._start_afresh(place)
            code = run(lambda: self._work(place))
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 1
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(code)

    def _start_afresh(self, place: Place) -> None:
        """Replace this process by a fresh interpreter that runs the same command."""
        descriptor = pass_token(self._home.token)
        for inherited in (descriptor, place.progress):
            os.set_inheritable(inherited, True)
        os.environ.update(self._home._replace(place=place).to_env(descriptor))
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])

    # Ends

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self._doomed.pop(pid, None)
            worker = self._pids.pop(pid, None)
            if worker is not None:
                _signal_group(pid, signal.SIGKILL)  # what the worker itself had started
                self._tell("exited", worker, os.waitstatus_to_exitcode(status))
            elif pid == self._control_pid and self._exit_code is None:
                self._exit_code = os.waitstatus_to_exitcode(status)
                self._kill_all(signal.SIGKILL)

    def _terminate(self, *_: object) -> None:
        self._exit_code = 128 + signal.SIGTERM
        self._kill_all(signal.SIGTERM)

    def _kill(self, worker: int, number: int) -> None:
        for pid, other in self._pids.items():
            if other == worker:
                self._end(pid, number)

    def _kill_all(self, number: int) -> None:
        for pid in self._pids:
            self._end(pid, number)

    def _end(self, pid: int, number: int) -> None:
        _signal_group(pid, number)
        if number == signal.SIGTERM:
            self._doomed.setdefault(pid, monotonic() + _GRACE)

    def _kill_the_doomed(self) -> None:
        now = monotonic()
        for pid, deadline in list(self._doomed.items()):
            if now >= deadline:
                del self._doomed[pid]
                _signal_group(pid, signal.SIGKILL)

    def _next_deadline(self) -> float | None:
        """Milliseconds until somebody's grace is over; None to wait for events only."""
        if not self._doomed:
            return None
        return max(0.0, min(self._doomed.values()) - monotonic()) * 1000 + 1

    def _tell(self, *message: Any, descriptors: list[int] | None = None) -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the next poll notices that it is gone
            socket.send_fds(self._control, [msgpack.packb(message)], descriptors or [])


def _signal_group(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def _empty(descriptor: int) -> None:
    with contextlib.suppress(BlockingIOError):
        while os.read(descriptor, 4096):
            pass
