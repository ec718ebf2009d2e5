"""
The fork server: the process that ran the module's top level, forks the workers and reaps them.

It has no event loop and no threads, so that a fork of it is a sound process; it waits for requests from its
agent, for the ends of its children, and for SIGTERM, all in one `poll`.
"""

from __future__ import annotations

import contextlib
import gc
import os
import select
import signal
import socket
import struct
import sys
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple

from aioparcs import codec, deadlines
from aioparcs.channel import ResultLog, encode_timeout
from aioparcs.errors import signal_name
from aioparcs.launcher.context import RunnerEndpoint, WorkerContext, WorkerProgram, pass_token
from aioparcs.launcher.fork_safety import fork_without_warning
from aioparcs.launcher.process.call_records import make_records, read_stopped
from aioparcs.launcher.process.child import (
    become_worker,
    block_signals,
    run,
    unblock_signals,
)
from aioparcs.launcher.process.exiting import Inherited, flush_output
from aioparcs.launcher.process.gpus import ReservedGPUs
from aioparcs.launcher.process.limits import limits_refusal_reason, process_error_reason
from aioparcs.launcher.process.prctl import adopt_orphans, die_with_parent
from aioparcs.launcher.process.stack_dumps import ignore_signals
from aioparcs.launcher.reaper import ProcessReaper
from aioparcs.messages.launcher import ALL, DATAGRAM_SIZE, Exited, Kill, Start, Started, read_datagram, to_datagram
from aioparcs.wire import FrameType, encode_frame

__all__ = ["ForkServer"]

# Workers that are forked before they are reported.
_BATCH = 8
# Workers of one request that are worth prewarming more than the once that each launcher does, and how often more.
_MANY, _TIMES = 8, 4
_DESCRIPTOR = struct.Struct("=i")
_PACKAGE = str(Path(__file__).parents[1]) + "/"


class _Spawned(NamedTuple):
    """
    A worker that was forked.

    Attributes:
        context: its place in the job.
        pid: its process.
        output: the descriptor that its output is read from.
    """

    context: WorkerContext
    pid: int
    output: int


class ForkServer:
    """
    The server that forks workers and reports their ends to the agent.

    Args:
        endpoint: where the runner is.
        agent: this end of the socket pair to the agent; messages keep their boundaries.
        progress: the descriptor that workers write their progress to.
        program: the program of its workers.
        inheritance: what forked workers find there.
        fork: False to give each worker a fresh interpreter.

    Attributes:
        records: the descriptor of the memory in which workers write down calls and stacks.
    """

    def __init__(
        self,
        endpoint: RunnerEndpoint,
        agent: socket.socket,
        progress: int,
        program: WorkerProgram,
        inheritance: Inherited,
        *,
        fork: bool,
    ) -> None:
        self._endpoint = endpoint
        self._agent = agent
        self._progress = progress
        self._program = program
        self._inheritance = inheritance
        self._fork = fork
        self._children = ProcessReaper()
        self.records = make_records()
        self._result_logs: dict[int, ResultLog | None] = {}  # by worker
        self._agent_pid = 0
        self._exit_code: int | None = None
        self._terminated = False
        self._is_warm = not fork
        self._wake_reading, self._wake_writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(self._wake_writing, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        ignore_signals()  # those for stacks, until a worker answers them
        signal.signal(signal.SIGTERM, self._on_sigterm)
        adopt_orphans()
        # An engine that ties launchers to the runner's life has the kernel kill them. From here on this process ends
        # by itself, and takes along what its workers have started; SIGCONT tells it so even when it is stopped.
        self._parent = os.getppid()
        signal.signal(signal.SIGCONT, self._on_sigcont)
        die_with_parent(self._parent, signal.SIGCONT)

    def serve(self, agent_pid: int) -> int:
        """Serve until the agent is gone or SIGTERM comes; returns the exit code, and no worker is left."""
        self._agent_pid = agent_pid
        poll = select.poll()
        poll.register(self._wake_reading, select.POLLIN)
        poll.register(self._agent, select.POLLIN)
        while self._exit_code is None or self._children:
            ready = dict(poll.poll(self._children.kill_overdue()))
            self._reap()
            if self._terminated and self._exit_code is None:
                self._exit_code = 128 + signal.SIGTERM
                self._children.kill_all(signal.SIGTERM)
            if self._agent.fileno() in ready and not self._handle_request():
                poll.unregister(self._agent)  # its exit code follows
                self._children.kill_all(signal.SIGKILL)
        self._await_agent(poll)
        self._children.kill_orphans()
        return self._exit_code

    def _on_sigterm(self, *_: object) -> None:
        self._terminated = True  # no more here: this interrupts whatever is being done, a fork for example

    def _on_sigcont(self, *_: object) -> None:
        self._terminated |= os.getppid() != self._parent

    # Requests

    def _handle_request(self) -> bool:
        """Run a request of the agent; return False when it is gone."""
        try:
            data = self._agent.recv(DATAGRAM_SIZE)
        except ConnectionResetError:
            return False
        if not data:
            return False
        try:
            match read_datagram(data):
                case Start() as start:
                    self._spawn_all(start)
                case Kill(worker=worker, signal=number) if worker != ALL:
                    self._children.kill(worker, number)
                case Kill(signal=number):
                    self._children.kill_all(number)
        except Exception as error:  # the workers that are there have no part in it
            print(f"error: the launcher failed to handle a request of its agent: {error!r}", file=sys.stderr)
        return True

    def _spawn_all(self, start: Start) -> None:
        if start.workers >= _MANY and not self._is_warm:
            self._prewarm()
        problem, result_logs = self._prepare(start.workers, start.limits)
        parent = start.parent or ""
        contexts = [
            WorkerContext(worker, worker - start.base, start.size, self._progress, parent, self.records, result_log)
            for worker, result_log in enumerate(result_logs, start.first)
        ]
        flush_output()
        while contexts and problem is None:
            spawned: list[_Spawned] = []
            problem = self._spawn(contexts[:_BATCH], start.limits, spawned)
            contexts = contexts[len(spawned) :]
            if spawned:  # what has failed may succeed when less is open
                problem = self._announce(spawned)
        for context in contexts:  # an answer for each: the runner waits for it
            self._report(Exited(context.worker, None, [str(problem)]))

    def _prewarm(self) -> None:
        """Prewarm as often as pays for many workers: Python specialises what has run a few times."""
        self._is_warm = True
        for _ in range(_TIMES):
            self._program.prewarm()
        gc.collect()  # as before: the workers are not to touch it
        gc.freeze()
        signal.set_wakeup_fd(self._wake_writing, warn_on_full_buffer=False)  # which a loop has taken
        os.write(self._wake_writing, b"\0")  # for the signals that have come meanwhile

    def _prepare(self, count: int, limits: dict[str, Any]) -> tuple[str | None, list[ResultLog | None]]:
        """Return the reason why workers with these limits can't be made, or None, and their result logs."""
        result_logs: list[ResultLog | None] = [None] * count
        try:
            problem = limits_refusal_reason(limits)
            if self._fork and problem is None:
                result_logs[:] = ResultLog.make(count)
        except Exception as error:
            problem = process_error_reason(error)
        return problem, result_logs

    def _spawn(self, contexts: list[WorkerContext], limits: dict[str, Any], spawned: list[_Spawned]) -> str | None:
        """
        Fork workers, one right behind the other, and add those that are there to ``spawned``.

        After each fork this process has to copy every page that it changes. So what each worker needs is done for all
        of them behind the last fork.

        Returns:
            The reason why the others can't be made, or None.
        """
        if self._terminated:
            return "its launcher is being ended by SIGTERM"
        parent = os.getpid()
        block_signals()
        try:
            for context in contexts:
                spawned.append(self._fork_worker(context, limits, parent, spawned))
        except Exception as error:
            return process_error_reason(error)
        finally:
            unblock_signals()
        return None

    def _fork_worker(
        self, context: WorkerContext, limits: dict[str, Any], parent: int, spawned: list[_Spawned]
    ) -> _Spawned:
        reading, writing = os.pipe2(os.O_CLOEXEC)
        gpus = None
        try:
            if limits.get("gpus"):
                gpus = ReservedGPUs(limits["gpus"])
            pid = os.fork() if self._fork else fork_without_warning()
            if pid == 0:
                if gpus:
                    gpus.use(executes=not self._fork)
                self._run_worker(context, limits, parent, writing, spawned)
        except BaseException:
            os.close(reading)
            raise
        finally:
            os.close(writing)
            if gpus:
                gpus.close()
        return _Spawned(context, pid, reading)

    def _announce(self, spawned: list[_Spawned]) -> str | None:
        """Report workers to the agent; return the reason why one can't be reported, and those behind it are killed."""
        problem = None
        for context, pid, reading in spawned:
            self._children.add(pid, context.worker)
            self._result_logs[context.worker] = context.result_log
            try:
                if problem is None:
                    self._report(Started(context.worker, pid), descriptor=reading)
            except OSError as error:
                problem = process_error_reason(error)
            finally:
                os.close(reading)
            if problem is not None:
                self._children.kill_unannounced(pid)
                self._report(Exited(context.worker, None, [problem]))
        return problem

    def _run_worker(
        self, context: WorkerContext, limits: dict[str, Any], parent: int, output: int, siblings: list[_Spawned]
    ) -> None:
        """Run the worker; never returns."""
        code = 1
        try:
            self._agent.close()
            for sibling in siblings:
                os.close(sibling.output)
            become_worker(parent, output, limits, context.worker)
            if not self._fork:
                self._exec_fresh(context)
            code = run(self._program, context, self._inheritance)
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(code)

    def _exec_fresh(self, context: WorkerContext) -> None:
        """Replace this process by a fresh interpreter that runs the same command."""
        from aioparcs.credentials import given_secrets, pass_secrets  # forked workers have theirs already

        descriptor, secrets = pass_token(self._endpoint.token), given_secrets()
        for inherited in (descriptor, context.progress, context.records):
            os.set_inheritable(inherited, True)
        if secrets:
            os.environ["PARCS_SECRETS_FD"] = str(memory := pass_secrets(secrets))
            os.set_inheritable(memory, True)
        os.environ.update(self._endpoint._replace(context=context).to_env(descriptor))
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])

    # Ends

    def _reap(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while os.read(self._wake_reading, 4096):
                pass
        for pid, worker, code in self._children.reap():
            if worker is not None:
                self._report(self._exited(worker, code))
            elif pid == self._agent_pid:
                self._agent_pid = 0
                self._children.kill_all(signal.SIGKILL)
                if self._exit_code is None:
                    self._exit_code = code if code >= 0 else 1
                if code < 0:
                    print(f"error: the launcher's agent was killed by {signal_name(-code)}", file=sys.stderr)

    def _exited(self, worker: int, code: int) -> Exited:
        """Return the report of a worker's end, with the results that it had, and the error of a call that ended it."""
        result_log = self._result_logs.pop(worker, None)
        results = result_log.read() if result_log else b""
        stopped = read_stopped(self.records, worker, _PACKAGE)
        if stopped is None:
            return Exited(worker, code, [], results)
        error = encode_timeout(stopped.limit, stopped.stack, ended_worker=True)
        body, _ = codec.encode_result(stopped.call_id, False, error)
        results += b"".join(encode_frame(FrameType.RESULT, body))
        return Exited(worker, code, [f"a call was not done within its time limit of {stopped.limit:g} s"], results)

    def _await_agent(self, poll: select.poll) -> None:
        """Wait until the agent, if it is still there, has sent the runner its last reports; then kill it."""
        with contextlib.suppress(OSError):
            self._agent.shutdown(socket.SHUT_WR)
        deadline = monotonic() + deadlines.LAST_REPORT
        with contextlib.suppress(KeyError):  # it was unregistered when it went
            poll.unregister(self._agent)
        while self._agent_pid and (left := deadline - monotonic()) > 0:
            poll.poll(left * 1000)
            self._reap()
        if self._agent_pid:
            os.kill(self._agent_pid, signal.SIGKILL)

    def _report(self, message: Started | Exited, descriptor: int = -1) -> None:
        """Send the agent a report, and for a worker's start the descriptor that its output is read from."""
        # As contextlib and socket.send_fds would do it: it is half of what a worker's start costs this process.
        passed = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, _DESCRIPTOR.pack(descriptor))] if descriptor >= 0 else []
        try:
            self._agent.sendmsg([to_datagram(message)], passed)
        except (BrokenPipeError, ConnectionResetError):
            pass  # the next poll notices that it is gone
