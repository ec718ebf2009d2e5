"""The processes of a launcher: its fork server and its workers, simulated, and its agent, which is the real one."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

from aioparcs import codec, deadlines
from aioparcs.auth import Role
from aioparcs.channel import Channel, ResultLog, encode_timeout
from aioparcs.errors import ParcsError
from aioparcs.launcher.agent import agent as agent_module
from aioparcs.launcher.agent import workers as workers_module
from aioparcs.launcher.agent.output import Output
from aioparcs.launcher.connect import connect
from aioparcs.launcher.context import RunnerEndpoint, WorkerContext
from aioparcs.messages.launcher import ALL, Exited, Kill, Start, Started
from aioparcs.service.conversation import converse
from aioparcs.service.peer_endpoint import PeerEndpoint
from aioparcs.settings import Settings
from aioparcs.wire import FrameType, encode_frame
from tests.simulation.functions import answer
from tests.simulation.history import History
from tests.simulation.loop import Death, VirtualLoop
from tests.simulation.network import End, Network

__all__ = ["Launcher", "install"]


class WorkerProcess:
    """
    One worker.

    Attributes:
        worker: its number.
        host: its host.
    """

    def __init__(self, launcher: Launcher, worker: int, context: WorkerContext) -> None:
        self.worker = worker
        self.launcher = launcher
        self.host = launcher.loop.add_host(f"worker {worker}", launcher.machine)
        self.stopped_results = b""
        self._context = context
        self._main: asyncio.Task[None] | None = None
        self.host.on_death.append(lambda: launcher.reap(self))
        self.code = -signal.SIGKILL
        self.lines: list[str] = []

    def start(self) -> None:
        """Begin its program."""
        self._main = self.host.start(self._run())

    def terminate(self) -> None:
        """Handle SIGTERM, as a worker does."""
        self.host.call(self._cancel)

    def _cancel(self) -> None:
        if self._main is None:
            self.exit(128 + signal.SIGTERM)
        else:
            self._main.cancel()

    def exit(self, code: int) -> None:
        """End with an exit code."""
        if not self.host.is_dead:
            self.code = code
            self.host.kill()

    def die(self, code: int, why: str) -> NoReturn:
        """End in the midst of its own code."""
        self.launcher.history.deaths.setdefault(self.worker, why)
        self.exit(code)
        raise Death

    def time_out(self, call_id: int, limit: float) -> NoReturn:
        """End by the time limit of a call: what the fork server reads of it is the call's result."""
        error = encode_timeout(limit, "", ended_worker=True)
        body, _ = codec.encode_result(call_id, False, error)
        self.stopped_results = b"".join(encode_frame(FrameType.RESULT, body))
        self.lines = [f"a call was not done within its time limit of {limit:g} s"]
        self.die(1, "a time limit")

    async def _run(self) -> None:
        launcher, settings, context = self.launcher, self.launcher.settings, self._context
        history, code = launcher.history, 1
        try:
            if launcher.is_conversing:
                program: Any = self._echo
            else:

                async def program(channel: Channel, place: WorkerContext, _endpoint: PeerEndpoint) -> None:
                    assert place.result_log
                    await answer(channel, self, history, place.result_log)

            endpoint = PeerEndpoint(launcher.endpoint, settings, context.worker)
            connection = connect(launcher.endpoint, Role.WORKER, context.worker, settings)
            code = await converse(connection, endpoint, settings, context, program)
        except ParcsError as error:
            self.lines = [f"error: {error}"]
        except asyncio.CancelledError:
            code = 128 + signal.SIGTERM
        self.exit(code)

    async def _echo(self, channel: Channel, _place: WorkerContext, _endpoint: PeerEndpoint) -> None:
        async for message in channel:
            await channel.send(message)


class Launcher:
    """
    The processes of one launcher.

    Args:
        loop: runs them.
        network: connects them.
        machine: where they are.
        endpoint: where the runner is.
        settings: limits and deadlines.
        history: gets what its workers do.
        is_conversing: whether its workers send messages back, and serve no functions.

    Attributes:
        exited: done with the exit code of the fork server, as an engine sees it.
        workers: those that run, by number.
    """

    def __init__(
        self,
        loop: VirtualLoop,
        network: Network,
        machine: str,
        endpoint: RunnerEndpoint,
        settings: Settings,
        history: History,
        *,
        is_conversing: bool,
    ) -> None:
        self.loop = loop
        self.network = network
        self.machine = machine
        self.endpoint = endpoint
        self.settings = settings
        self.history = history
        self.is_conversing = is_conversing
        self.workers: dict[int, WorkerProcess] = {}
        self.exited: asyncio.Future[int] = loop.create_future()
        self.server = loop.add_host(f"fork server {endpoint.slot}", machine)
        self.agent = loop.add_host(f"agent {endpoint.slot}", machine)
        self.requests: deque[Start | Kill] = deque()
        self.reports: deque[tuple[Started | Exited, list[int]]] = deque()
        self.on_report: Callable[[], object] = lambda: None
        self.code = -signal.SIGKILL
        self.server.on_death.append(self._end)
        self.agent.on_death.append(self._agent_gone)
        self._is_ending = self._has_begun = False

    def start(self) -> None:
        """Begin, as a program that takes a while to load."""
        delay = self.loop.random.random() * 0.5
        self.loop.call_later(delay, self._begin, context=self.agent.context)

    def _begin(self) -> None:
        self._has_begun = True
        self.agent.start(self._run_agent())

    async def _run_agent(self) -> None:
        code = 1
        try:
            agent = agent_module.LauncherAgent(self.endpoint, self.settings, self, 0, 0)  # type: ignore[arg-type]
            await agent.run()
            code = 0
        except ParcsError:
            pass
        self.code = code
        self.agent.kill()

    # The fork server

    def request(self, request: Start | Kill) -> None:
        """Receive a request of the agent."""
        self.requests.append(request)
        self.server.call(self._handle)

    def _handle(self) -> None:
        if not self.requests or self._is_ending:
            return
        match self.requests.popleft():
            case Start() as start:
                self._fork(start)
            case Kill(worker, number):
                for process in list(self.workers.values()):
                    if worker in (ALL, process.worker):
                        self._signal(process, number)

    def _fork(self, start: Start) -> None:
        for worker in range(start.first, start.first + start.workers):
            (result_log,) = ResultLog.make(1)
            context = WorkerContext(worker, worker - start.base, start.size, 0, "", -1, result_log)
            process = self.workers[worker] = WorkerProcess(self, worker, context)
            self._report(Started(worker, os.getpid()), [0])
            self.loop.call_later(self.loop.random.random() * 0.02, process.start, context=process.host.context)

    def _signal(self, process: WorkerProcess, number: int) -> None:
        self.history.deaths.setdefault(process.worker, "requested")
        if number == signal.SIGTERM:
            process.terminate()
            self.loop.call_later(deadlines.WORKER_CLEANUP, process.host.kill, context=self.server.context)
        else:
            process.code = -number
            process.host.kill()

    def reap(self, process: WorkerProcess) -> None:
        """Report the end of a worker, with what it had not sent."""
        self.workers.pop(process.worker, None)
        result_log = process._context.result_log
        assert result_log
        results = result_log.read() + process.stopped_results
        report = Exited(process.worker, process.code, process.lines, results)
        self.history.add("info", f"worker {process.worker}", f"ends with {process.code}")
        if not self.server.is_dead:
            self.server.call(self._report, report, [])

    def _report(self, report: Started | Exited, descriptors: list[int]) -> None:
        self.reports.append((report, descriptors))
        self.agent.call(self.on_report)

    def terminate(self) -> None:
        """Handle SIGTERM: end the workers, then the launcher."""
        for process in list(self.workers.values()):
            self._signal(process, signal.SIGTERM)
        self.loop.call_later(2.0, self.server.kill, context=self.loop.kernel.context)

    def _agent_gone(self) -> None:
        if not self.server.is_dead:
            self.server.call(self.server.kill)  # once it runs: it may be stopped

    def _end(self) -> None:
        """End what lives no longer than the fork server."""
        self._is_ending = True
        for process in list(self.workers.values()):
            self.history.deaths.setdefault(process.worker, "its launcher has ended")
            process.host.kill()
        if not self._has_begun:
            self.agent.kill()  # it was not forked yet
        elif not self.agent.is_dead:
            self.reports.append((_EOF, []))
            self.agent.call(self.on_report)
        if not self.exited.done():
            self.exited.set_result(self.code)


_EOF: Any = None


class _ForkClient:
    """What `ForkServerClient` is to the agent."""

    def __init__(self, launcher: Launcher) -> None:
        self._launcher = launcher
        loop = launcher.loop
        launcher.on_report = lambda: loop.readers.get(self, _nothing)()

    @property
    def is_stopped(self) -> bool:
        return self._launcher.server.is_stopped

    async def send(self, request: Start | Kill) -> None:
        await asyncio.sleep(0)
        self._launcher.request(request)

    def receive(self) -> Iterator[tuple[Started | Exited, list[int]]]:
        reports = self._launcher.reports
        while reports:
            if reports[0][0] is _EOF:
                raise EOFError
            yield reports.popleft()


class _Output(Output):
    """The output of workers that have no pipes."""

    def __init__(
        self, loop: Any, _reports: int, queue: int, last_lines: int, on_peer: Callable[[int, int, bool], object]
    ) -> None:
        super().__init__(loop, _pipe(), queue, last_lines, on_peer)

    def add(self, worker: int, descriptor: int) -> None:
        pass


def _nothing() -> None:
    pass


_pipes: list[int] = []


def _pipe() -> int:
    """Return a descriptor that is never readable."""
    if not _pipes:
        _pipes.extend(os.pipe())
    return _pipes[0]


class _Records:
    """What reads stacks of workers, of which there are none here."""

    def __init__(self, *_: Any) -> None:
        self.pids: dict[int, int] = {}


def install() -> None:
    """Put simulated parts in the place of those of the agent that deal with the system."""
    replaced: list[tuple[Any, str, Any]] = [
        (agent_module, "ForkServerClient", _ForkClient),
        (agent_module, "Output", _Output),
        (agent_module, "wait_silent", _wait_silent),
        (workers_module, "WorkerStacks", _Records),
        (workers_module, "count_oom_kills", lambda: 0),
        (workers_module, "_free_descriptors", lambda: 1000),
    ]
    for module, name, part in replaced:
        setattr(module, name, part)


async def _wait_silent(transport: asyncio.WriteTransport, liveness: float) -> bool:
    """Wait as the real one does, for the kernel of the other machine."""
    assert isinstance(transport, End)
    while not transport.is_closing():
        if transport.silence() > max(liveness, 1.5):
            return True
        await asyncio.sleep(liveness / 4)
    return False
