"""The workers of a launcher, as its agent knows them: from the request for each to the report of its end."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable

from aioparcs.background import BackgroundTasks
from aioparcs.launcher.agent.fork_client import ForkServerClient
from aioparcs.launcher.agent.memory import OUT_OF_MEMORY, count_oom_kills
from aioparcs.launcher.agent.output import Output
from aioparcs.launcher.agent.stacks import WorkerStacks
from aioparcs.launcher.agent.usage import UsageMeter
from aioparcs.launcher.process.limits import too_few_files
from aioparcs.messages.fields import Message
from aioparcs.messages.launcher import Exited, Kill, Stack, StackRead, Start, Started
from aioparcs.transport import file_limit

__all__ = ["AgentWorkers"]

# What this process may open besides: a library's file, a socket for a moment.
_SPARE_DESCRIPTORS = 4


class AgentWorkers:
    """
    Requests workers from the fork server, and reports what becomes of them.

    Args:
        fork_server: starts them.
        records: the descriptor of the memory that they write their stacks to.
        output: reads what they print, and reports their ends.
        usage: measures them.
        background: runs what takes a while.
        report: sends the runner a message.

    Attributes:
        all_ended: set while none runs or is about to.
    """

    def __init__(
        self,
        fork_server: ForkServerClient,
        records: int,
        output: Output,
        usage: UsageMeter,
        background: BackgroundTasks,
        report: Callable[[Message], object],
    ) -> None:
        self.all_ended = asyncio.Event()
        self.all_ended.set()
        self._fork_server = fork_server
        self._output = output
        self._usage = usage
        self._stacks = WorkerStacks(records, fork_server.send)
        self._background = background
        self._report = report
        self._alive = self._unreported = 0
        self._rejected: set[int] = set()
        self._oom_kills = count_oom_kills()

    async def start(self, start: Start) -> None:
        """Request workers, as many as there are descriptors for; report the others as ended."""
        room = min(start.workers, max(0, _free_descriptors() - self._unreported))
        for worker in range(start.first + room, start.first + start.workers):
            self._output.finish(Exited(worker, None, [too_few_files()]))
        if room:
            self._alive += room
            self._unreported += room
            self.all_ended.clear()
            await self._fork_server.send(start._replace(workers=room))

    def started(self, started: Started, descriptors: list[int]) -> None:
        """Read the output of a worker whose process has begun, and report its start."""
        self._unreported -= 1
        if descriptors:
            self._output.add(started.worker, descriptors[0])
            self._stacks.pids[started.worker] = started.pid
            self._usage.add(started.worker, started.pid)
            self._report(started)
        else:
            self._reject(started.worker)

    def exited(self, exited: Exited) -> None:
        """Report the end of a worker, behind its output."""
        self._stacks.pids.pop(exited.worker, None)
        self._usage.remove(exited.worker)
        self._unreported -= exited.code is None  # there never was a process
        if exited.worker in self._rejected:
            self._rejected.discard(exited.worker)
        else:
            self._output.finish(exited._replace(lines=exited.lines + self._why_killed(exited.code)))
        self._alive -= 1
        if not self._alive:
            self.all_ended.set()

    async def read_stack(self, request: Stack) -> None:
        """Report what a worker runs."""
        try:
            self._report(StackRead(request.request, await self._stacks.read(request.worker)))
        except (LookupError, OSError) as error:
            self._report(StackRead(request.request, None, str(error)))

    def _why_killed(self, code: int | None) -> list[str]:
        before = self._oom_kills
        if code == -signal.SIGKILL:
            self._oom_kills = count_oom_kills()
        return [OUT_OF_MEMORY] if self._oom_kills > before else []

    def _reject(self, worker: int) -> None:
        """Kill a worker whose output can't be read: something else took the descriptor that was free."""
        self._output.finish(Exited(worker, None, [too_few_files()]))
        self._rejected.add(worker)
        self._background.start(self._fork_server.send, Kill(worker, signal.SIGKILL))


def _free_descriptors() -> int:
    """Return how many workers' outputs can still be read: each needs a descriptor here."""
    return file_limit() - len(os.listdir("/proc/self/fd")) - _SPARE_DESCRIPTORS
