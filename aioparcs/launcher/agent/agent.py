"""
The agent of a launcher: its side of the control connection.

It runs in a process of its own beside the fork server, executes nothing of the user's, and so answers at once
whatever the workers compute. It relays the runner's requests to the fork server, and reports to the runner starts,
ends, output and progress.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket

from aioparcs import deadlines
from aioparcs.auth import Role
from aioparcs.background import BackgroundTasks
from aioparcs.channel import FrameConnection, control_link
from aioparcs.errors import ChannelClosed, ConnectionLost, EndOfChannel
from aioparcs.launcher.agent.file_receiver import FileReceiver
from aioparcs.launcher.agent.fork_client import ForkServerClient
from aioparcs.launcher.agent.keeper import MemoryKeeper
from aioparcs.launcher.agent.output import Output
from aioparcs.launcher.agent.usage import UsageMeter
from aioparcs.launcher.agent.workers import AgentWorkers
from aioparcs.launcher.connect import connect
from aioparcs.launcher.context import RunnerEndpoint
from aioparcs.messages.fields import Message
from aioparcs.messages.launcher import (
    ALL,
    Files,
    Keep,
    Kill,
    LauncherRequest,
    LogReceived,
    Stack,
    Start,
    Started,
    UsageRequest,
    read_launcher_request,
)
from aioparcs.settings import Settings
from aioparcs.transport import keep_alive, raise_file_limit, wait_silent

__all__ = ["LauncherAgent"]


class LauncherAgent:
    """
    Relays between the runner and the fork server.

    Args:
        endpoint: where the runner is.
        settings: limits and deadlines.
        fork_server: this end of the socket pair to the fork server.
        progress: the reading end of the pipe that workers write their progress to.
        records: the descriptor of the memory that workers write their stacks to.
    """

    def __init__(
        self, endpoint: RunnerEndpoint, settings: Settings, fork_server: socket.socket, progress: int, records: int
    ) -> None:
        self._endpoint = endpoint
        self._settings = settings
        self._fork_server = ForkServerClient(fork_server)
        self._background = BackgroundTasks()
        self._files = FileReceiver(self._report)
        self._keeper = MemoryKeeper(self._report)
        self._usage = UsageMeter()
        loop, on_peer = asyncio.get_running_loop(), self._usage.note_peer
        self._output = Output(loop, progress, settings.log_queue, settings.last_lines, on_peer)
        parts = self._output, self._usage, self._background
        self._workers = AgentWorkers(self._fork_server, records, *parts, self._report)
        self._acknowledged = asyncio.Event()
        self._is_over = False
        self._reporting: asyncio.Task[None]
        self._ending: asyncio.Task[None] | None = None
        self._link: FrameConnection

    async def run(self) -> None:
        """
        Serve until the runner ends the job.

        Raises:
            ConnectionLost: the runner is gone.
            HandshakeError: the runner refused this launcher.
        """
        raise_file_limit()  # each worker's output is one: Docker 29 gives a container no more than 1,024
        reader, writer, _ = await connect(self._endpoint, Role.LAUNCHER, self._endpoint.slot, self._settings)
        keep_alive(writer.transport, self._settings.liveness, user_timeout=False)
        self._link = control_link(reader, writer, self._settings)
        loop = asyncio.get_running_loop()
        try:
            await self._background.open()
            self._reporting = self._background.start(self._report_news)
            self._background.start(self._watch, writer.transport)
            self._background.start(self._watch_fork_server)
            loop.add_reader(self._fork_server, self._read_fork_server)
            while True:
                await self._handle(read_launcher_request(await self._link.recv_frame()))
        except EndOfChannel:
            return
        except ChannelClosed:  # by this side's own last words
            if self._ending:
                await self._ending
        finally:
            loop.remove_reader(self._fork_server)
            await self._background.aclose()
            await self._files.aclose()
            self._output.close()
            self._keeper.close()
            self._link.abort()

    async def _watch(self, transport: asyncio.WriteTransport) -> None:
        """Abort the connection when the runner's host is silent; a runner that is only stopped is waited for."""
        liveness = self._settings.liveness
        if await wait_silent(transport, liveness):
            self._link.abort(ConnectionLost(f"the runner's host was silent for {liveness:g} s (PARCS_LIVENESS)"))

    async def _watch_fork_server(self) -> None:
        """Abort the connection when the fork server is stopped: it starts no worker, and no end of one is reported."""
        liveness, since = self._settings.liveness, 0.0
        while True:
            await asyncio.sleep(liveness / 4)
            now = asyncio.get_running_loop().time()
            since = (since or now) if self._fork_server.is_stopped else 0.0
            if since and now - since >= liveness:
                stopped = f"the fork server was stopped by a signal for {liveness:g} s (PARCS_LIVENESS)"
                self._link.abort(ConnectionLost(stopped))

    async def _handle(self, request: LauncherRequest) -> None:
        match request:
            case LogReceived():
                self._acknowledged.set()
            case Files(piece):
                self._files.add(piece)
            case Keep():
                self._keeper.handle(request)
            case UsageRequest():
                self._report(self._usage.measure())
            case Start():
                await self._workers.start(request)
            case Stack():
                self._background.start(self._workers.read_stack, request)
            case Kill(worker=worker) if worker != ALL:
                await self._fork_server.send(request)
            case _ if self._ending is None:
                self._ending = self._background.start(self._end_workers)

    async def _end_workers(self) -> None:
        """End the workers that still run, and send their last lines to the runner."""
        await self._fork_server.send(Kill(ALL, signal.SIGTERM))
        # No deadline here: the fork server kills workers that don't end in their grace, and if it is stopped itself the
        # runner ends this connection after its close_timeout.
        await self._workers.all_ended.wait()
        await self._report_last()

    async def _report_last(self) -> None:
        self._is_over = True
        self._output.wake()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(deadlines.LAST_LINES):
                await self._reporting
        await self._link.aclose(deadlines.LAST_LINES)

    async def _report_news(self) -> None:
        """Send output, progress and ends, one batch at a time: what a slow runner doesn't take waits here, bounded."""
        while not self._is_over or not self._output.is_reported:
            news = await self._output.news()
            for progress in news.progress:
                self._report(progress)
            self._acknowledged.clear()
            self._report(news.log)
            for exited in news.exits:
                self._report(exited)
            await self._acknowledged.wait()

    def _read_fork_server(self) -> None:
        try:
            for report, descriptors in self._fork_server.receive():
                if isinstance(report, Started):
                    self._workers.started(report, descriptors)
                else:
                    self._workers.exited(report)
        except EOFError:
            asyncio.get_running_loop().remove_reader(self._fork_server)
            self._workers.all_ended.set()  # its workers end with it
            if self._ending is None:  # it was asked to end, and has no workers left
                self._ending = self._background.start(self._report_last)

    def _report(self, message: Message) -> None:
        """Send the runner a report."""
        self._link.post_frame(*message.encode())
