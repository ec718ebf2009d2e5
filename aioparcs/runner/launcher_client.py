"""The runner's side of a control connection: requests to a launcher, and its reports."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections import deque
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any, Protocol

from aioparcs import deadlines
from aioparcs.channel import FrameConnection
from aioparcs.engine import LauncherState
from aioparcs.errors import ConnectionLost, ParcsError, ProtocolError, StartError, WorkerLost
from aioparcs.events import EventBus, LogLines, Notice, WorkerExited, WorkerProgress, WorkersPlaced, WorkerStopped
from aioparcs.messages.launcher import (
    ALL,
    Exited,
    Kill,
    LauncherReport,
    Log,
    LogReceived,
    Progress,
    Start,
    read_launcher_report,
)
from aioparcs.settings import Settings
from aioparcs.wire import FrameType

__all__ = ["LauncherClient", "Worker"]

# The exit code of a worker that SIGTERM has ended gracefully.
_SIGTERM_EXIT = 128 + signal.SIGTERM
# Pings in the time that a silent launcher gets.
_PINGS = 4
# Characters of a line of output; launchers cut what is longer.
_LONGEST_LINE = 8 << 10
_UNSERVED = "its main.py ended without calling serve(...): add serve(NAME) at its end"


class Worker(Protocol):
    """A worker as the runner records it: a `WorkerHandle` of its own, or the `SpawnedWorker` of a service."""

    module: str
    worker: int
    node: str
    launcher: int
    unsent_results: bytes

    @property
    def name(self) -> str: ...

    @property
    def is_connected(self) -> bool: ...

    @property
    def start_error(self) -> StartError | None: ...

    def fail_start(self, reason: str, last_lines: tuple[str, ...] = ()) -> None: ...

    def end(self, lost: WorkerLost | None, *, cut: bool = False) -> None: ...


class LauncherClient:
    """
    One launcher, from before it connects until it is gone.

    Args:
        module: the module that it runs.
        slot: its number.
        settings: limits and deadlines.
        events: gets the job's events.
        look: makes the engine check the launcher at once.
        on_end: called with the number of each worker that has ended.

    Attributes:
        tasks: its workers that aren't gone, by number.
        waits_for: what the engine says that its start waits for, or "".
    """

    def __init__(
        self,
        module: str,
        slot: int,
        settings: Settings,
        events: EventBus,
        look: Callable[[], object],
        on_end: Callable[[int], object],
    ) -> None:
        self.module = module
        self.slot = slot
        self.tasks: dict[int, Worker] = {}
        self._settings = settings
        self._events = events
        self._look = look
        self._on_end = on_end
        self.waits_for = ""
        self._node = ""
        self._last_lines: dict[int, deque[str]] = {}
        self._link: FrameConnection | None = None
        self._requests: list[Start | Kill] = []
        self._jobs: list[asyncio.Task[None]] = []
        self._stopped: dict[int, int] = {}  # workers that the runner itself ends, and the signal
        self._gone = asyncio.Event()
        self._is_lost = False
        self._loss: tuple[str, tuple[str, ...]] | None = None
        self._end: tuple[LauncherState, tuple[str, ...]] | None = None
        self._stop: Callable[[], object] | None = None

    @property
    def is_connected(self) -> bool:
        """True once it has connected, also when it is gone again."""
        return self._link is not None

    @property
    def is_up(self) -> bool:
        """True while it can be asked for workers."""
        return self._link is not None and not self._is_lost and not self._gone.is_set()

    @property
    def is_gone(self) -> bool:
        """True once the engine has reported its end; the last frames that it sent may still be on their way."""
        return self._end is not None

    def is_stopping(self, worker: int) -> bool:
        """Return whether it was asked to end a worker."""
        return worker in self._stopped

    def connect(self, link: FrameConnection) -> None:
        """Accept the control connection, and send the requests made before it was there."""
        self._link = link
        for request in self._requests:
            link.post_frame(*request.encode())
        self._requests.clear()
        self._jobs = [asyncio.create_task(self._listen(link)), asyncio.create_task(self._watch(link))]

    def start(
        self, tasks: Sequence[Worker], base: int, size: int, limits: dict[str, Any], parent: str | None = None
    ) -> None:
        """
        Ask for workers, numbered consecutively.

        Args:
            tasks: the workers.
            base: the number of the first of those started together.
            size: how many are started together.
            limits: see `WorkerSpec.limits`.
            parent: the address of the service that wants them, None for the runner.
        """
        for task in tasks:
            self._take(task)
        if self._node:  # that of the launcher's other workers, which have been reported
            first = tasks[0].worker
            workers = range(first, first + len(tasks))
            self._events.publish(WorkersPlaced(monotonic(), self.module, workers, self._node))
        self._request(Start(tasks[0].worker, len(tasks), base, size, limits, parent))
        if self._end:  # it ended while the service that wants them was being informed
            self.gone(*self._end)

    def adopt(self, task: Worker, *, stop: Callable[[], object]) -> None:
        """Add a worker that is the process itself, ended by ``stop``: the original PARCS has no launchers."""
        self._take(task)
        self._stop = stop

    def kill(self, worker: int, number: int) -> None:
        """Ask for a worker's end, by a signal; SIGTERM is followed by SIGKILL after a second."""
        self._stopped[worker] = number
        if self._stop:
            self._stop()
            return
        self._request(Kill(worker, number))
        if not self.is_connected:  # that waits behind the request for the worker
            task = self.tasks[worker]
            task.fail_start("it was killed before it began")
            self._ended(task, WorkerLost(task.name, "was killed before it began"))

    async def end(self, timeout: float) -> None:
        """End all workers, and read their last lines; after ``timeout`` seconds, close the connection anyway."""
        self._stopped = dict.fromkeys(self.tasks, signal.SIGTERM) | self._stopped
        self._request(Kill(ALL, signal.SIGTERM))
        if self._jobs:
            await asyncio.wait(self._jobs[:1], timeout=timeout)
        await self.aclose()

    async def aclose(self) -> None:
        """End the connection; a launcher that is still there kills its workers and ends."""
        for job in self._jobs:
            job.cancel()
        await asyncio.gather(*self._jobs, return_exceptions=True)
        if self._link:
            await self._link.aclose(deadlines.FAREWELL)

    def hear(self, state: LauncherState) -> None:
        """Handle the engine's report of the launcher's node, or of what it waits for."""
        self.waits_for = state.reason
        if state.node and state.node != self._node:
            self._node = state.node
            for task in self.tasks.values():
                task.node = state.node
            numbers = sorted(self.tasks)
            if numbers:
                workers = range(numbers[0], numbers[-1] + 1)
                self._events.publish(WorkersPlaced(monotonic(), self.module, workers, state.node))

    def gone(self, state: LauncherState, lines: tuple[str, ...]) -> None:
        """Handle the engine's report that the launcher's process or container has ended, or could not be started."""
        self._end = state, lines
        reason, exitcode = state.reason, state.exitcode
        self._loss = f"is lost: its launcher {reason}", lines
        self._gone.set()
        if self._jobs:
            if self._jobs[0].done():
                self.mark_lost(*self._loss)
            return  # else its last frames are still on their way; the obituary follows
        for task in list(self.tasks.values()):
            deed = "answered the runner" if self._stop else "called serve(...)"
            why = reason if state.state == "failed" else f"its main.py {reason} before it {deed}"
            task.fail_start(_UNSERVED if exitcode == 0 and not self._stop else why, lines)
            if exitcode is None:
                self._ended(task, WorkerLost(task.name, reason, last_lines=lines), cut=True)
            else:
                self._ended(task, WorkerLost.from_exit(task.name, exitcode, lines) if exitcode else None)

    def mark_lost(self, reason: str, last_lines: tuple[str, ...] = ()) -> None:
        """Mark the launcher as gone, and end all its workers."""
        self._is_lost = True
        for task in list(self.tasks.values()):
            lost = WorkerLost(task.name, reason, last_lines=tuple(self._last_lines.get(task.worker, ())) or last_lines)
            task.fail_start(f"it {reason}", last_lines)
            self._ended(task, lost, cut=True)
        if self._link:
            self._link.abort()

    def _take(self, task: Worker) -> None:
        self.tasks[task.worker] = task
        self._last_lines[task.worker] = deque(maxlen=self._settings.last_lines)
        task.node, task.launcher = self._node, self.slot

    def _request(self, request: Start | Kill) -> None:
        """Send a request, or keep it until the launcher is connected."""
        if self._link is None:
            self._requests.append(request)
        else:
            self._link.post_frame(*request.encode())

    async def _listen(self, link: FrameConnection) -> None:
        """Read the launcher's frames until its connection ends."""
        try:
            while True:
                report = read_launcher_report(await link.recv_frame())
                self._handle(report)
                if isinstance(report, Log):
                    await _acknowledge(link)
        except ProtocolError as error:
            self.mark_lost(f"is lost with its launcher: {error}")
        except ParcsError as error:  # the end of the connection
            if self.tasks:
                self._look()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._gone.wait(), deadlines.ENGINE_EXPLANATION)  # the engine may know more
            self.mark_lost(*(self._loss or (f"is lost with its launcher: {error}", ())))
        except Exception as error:
            asyncio.get_running_loop().call_exception_handler({"message": "hearing a launcher", "exception": error})
            self.mark_lost(f"is lost with its launcher: {type(error).__name__}: {error}")

    async def _watch(self, link: FrameConnection) -> None:
        """Send pings, and abort the connection when the launcher is silent for too long."""
        loop, liveness = asyncio.get_running_loop(), self._settings.liveness
        pause = liveness / _PINGS
        heard, since = link.bytes_received, loop.time()
        while True:
            link.post_frame(FrameType.PING)
            asked = loop.time()
            await asyncio.sleep(pause)
            now = loop.time()
            # A pause that was much too long is this program's own stall: what came meanwhile has not been read yet.
            if link.bytes_received != heard or now - asked > 2 * pause:
                heard, since = link.bytes_received, now
            elif now - since >= liveness:
                silent = f"its host was silent for {liveness:g} s"
                self.mark_lost(f"is lost: {silent} (PARCS_LIVENESS)")
                link.abort(ConnectionLost(silent))
                return

    def _handle(self, report: LauncherReport) -> None:
        match report:
            case Log():
                self._on_log(report)
            case Progress(worker=worker) if worker in self.tasks:
                module = self.tasks[worker].module
                self._events.publish(WorkerProgress(monotonic(), module, worker, report.done, report.total))
            case Exited(worker=worker) if worker in self.tasks:
                self._on_exited(self.tasks[worker], report)
            case _:
                pass  # a start, whose news is the worker's own connection, or a worker that counts as lost already

    def _on_log(self, log: Log) -> None:
        shown = tuple((line.worker, line.text[:_LONGEST_LINE]) for line in log.lines)
        if shown:
            self._events.publish(LogLines(monotonic(), self.module, shown))
        for worker, line in shown:
            if worker in self._last_lines:
                self._last_lines[worker].append(line)
        if log.dropped:
            text = f"{log.dropped:,} lines of output were lost: they came faster than they left"
            self._events.publish(Notice(monotonic(), self.module, text))

    def _on_exited(self, task: Worker, exited: Exited) -> None:
        code = exited.code
        task.unsent_results = exited.results
        last = exited.lines[-self._settings.last_lines - 1 :]  # a reason may follow them
        lines = tuple(line[:_LONGEST_LINE] for line in last)
        if code is None:  # there never was a process
            reason = lines[0] if lines else "its launcher gave no reason"
            task.fail_start(reason)
            self._ended(task, WorkerLost(task.name, reason))
            return
        lost = WorkerLost.from_exit(task.name, code, lines)
        task.fail_start(f"it {lost.reason} before it was connected", lines)
        self._ended(task, lost if code else None)

    def _is_requested_stop(self, worker: int, lost: WorkerLost) -> bool:
        """Return whether a worker's end is the one that the runner asked for, not a failure."""
        asked = self._stopped.get(worker)
        if asked == signal.SIGKILL:  # the worker may have seen the end of its channel first, and left by itself
            return True
        return asked is not None and bool(lost.signal or lost.exitcode == _SIGTERM_EXIT)

    def _ended(self, task: Worker, lost: WorkerLost | None, *, cut: bool = False) -> None:
        del self.tasks[task.worker]
        self._last_lines.pop(task.worker, None)
        task.end(lost, cut=cut)
        if lost and self._is_requested_stop(task.worker, lost):
            self._events.publish(WorkerStopped(monotonic(), task.module, task.worker))
        else:
            failure = lost or task.start_error  # an end before it was connected is no clean one, whatever its exit code
            reason = failure.reason if failure else None
            self._events.publish(WorkerExited(monotonic(), task.module, task.worker, reason))
        self._stopped.pop(task.worker, None)
        self._on_end(task.worker)


async def _acknowledge(link: FrameConnection) -> None:
    """Ask for the next batch of lines when there is room: nothing piles up for a launcher that doesn't read."""
    with contextlib.suppress(ParcsError):  # frames that arrived before the end are still to be read
        await link.send_frame(*LogReceived().encode())
