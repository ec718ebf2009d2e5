"""
The agent of a launcher: its side of the control connection.

It runs in a process of its own beside the fork server, executes nothing of the user's, and so answers at once
whatever the workers compute. It relays the runner's requests to the fork server, and reports to the runner starts,
ends, output and progress.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from typing import Any

import msgpack

from aioparcs import codec, deadlines
from aioparcs.auth import Role
from aioparcs.channel import COUNT, Body, FrameConnection, control_link, integer, number, optional, read_body
from aioparcs.errors import ChannelClosed, ConnectionLost, EndOfChannel
from aioparcs.launcher.connect import connect
from aioparcs.launcher.context import RunnerEndpoint
from aioparcs.launcher.fork_server import MESSAGE_SIZE
from aioparcs.launcher.limits import too_few_files
from aioparcs.launcher.memory import OUT_OF_MEMORY, count_oom_kills
from aioparcs.launcher.output import Output
from aioparcs.settings import Settings
from aioparcs.transport import file_limit, keep_alive, raise_file_limit, wait_silent
from aioparcs.wire import Frame, FrameType

__all__ = ["LauncherAgent"]

# What this process may open besides: a library's file, a socket for a moment.
_SPARE_DESCRIPTORS = 4
# Workers that one request may ask for: the end of each is reported by itself, also when there is no room for it.
_MOST = 1 << 16
# What workers can be limited to.
_LIMITS = {"cpus": number, "memory": integer(1, (1 << 63) - 1)}
# Characters of an address; a request has to fit into a message to the fork server, of `MESSAGE_SIZE` bytes.
_LONGEST = 1000


def _are_limits(value: Any) -> bool:
    return type(value) is dict and all(name in _LIMITS and _LIMITS[name](one) for name, one in value.items())


def _is_address(value: Any) -> bool:
    return type(value) is str and len(value) <= _LONGEST


# All that the runner may send.
_BODIES = {
    FrameType.START: Body.of(COUNT, integer(1, _MOST), COUNT, COUNT, _are_limits, optional(_is_address), least=5),
    FrameType.KILL: Body.of(integer(-1, (1 << 63) - 1), integer(1, signal.NSIG - 1)),
    FrameType.LOG: Body.of(),
}


class LauncherAgent:
    """
    Relays between the runner and the fork server.

    Args:
        home: where the runner is.
        settings: limits and deadlines.
        fork_server: this end of the socket pair to the fork server.
        progress: the reading end of the pipe that workers write their progress to.
    """

    def __init__(self, home: RunnerEndpoint, settings: Settings, fork_server: socket.socket, progress: int) -> None:
        self._home = home
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self._fork_server = fork_server
        self._output = Output(self._loop, progress, settings.log_queue, settings.last_lines)
        self._alive = self._on_their_way = 0
        self._nobody = asyncio.Event()
        self._nobody.set()
        self._acknowledged = asyncio.Event()
        self._over = False
        self._telling: asyncio.Task[None]
        self._ending: asyncio.Task[None] | None = None
        self._asking = asyncio.Lock()
        self._asked: set[asyncio.Task[None]] = set()
        self._turned_away: set[int] = set()
        self._oom_kills = count_oom_kills()
        self._link: FrameConnection

    async def run(self) -> None:
        """
        Serve until the runner ends the job.

        Raises:
            ConnectionLost: the runner is gone.
            HandshakeError: the runner refused this launcher.
        """
        raise_file_limit()  # each worker's output is one: Docker 29 gives a container no more than 1,024
        reader, writer, _ = await connect(self._home, Role.LAUNCHER, self._home.slot, self._settings)
        keep_alive(writer.transport, self._settings.liveness, user_timeout=False)
        self._link = control_link(reader, writer, self._settings)
        self._fork_server.setblocking(False)
        self._loop.add_reader(self._fork_server, self._read_fork_server)
        self._telling = asyncio.create_task(self._tell_news())
        watching = asyncio.create_task(self._watch(writer.transport))
        try:
            while True:
                await self._obey(await self._link.recv_frame())
        except EndOfChannel:
            return
        except ChannelClosed:  # by this side's own last words
            if self._ending:
                await self._ending
        finally:
            tasks = [task for task in (watching, self._telling, self._ending, *self._asked) if task]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._loop.remove_reader(self._fork_server)
            self._output.close()
            self._link.abort()

    async def _watch(self, transport: asyncio.WriteTransport) -> None:
        """Abort the connection when the runner's host is silent; a runner that is only stopped is waited for."""
        liveness = self._settings.liveness
        if await wait_silent(transport, liveness):
            self._link.abort(ConnectionLost(f"the runner's host was silent for {liveness:g} s (PARCS_LIVENESS)"))

    async def _obey(self, frame: Frame) -> None:
        values = read_body(frame, _BODIES)
        if frame.type == FrameType.LOG:
            self._acknowledged.set()
        elif frame.type == FrameType.START:
            await self._start(*values)
        else:
            worker, number = values
            if worker >= 0:
                await self._ask("kill", worker, number)
            elif self._ending is None:
                self._ending = asyncio.create_task(self._wind_down())

    async def _start(
        self, first: int, count: int, base: int, size: int, limits: dict[str, Any], parent: str | None = None
    ) -> None:
        room = min(count, max(0, _free_descriptors() - self._on_their_way))
        for worker in range(first + room, first + count):
            self._output.finish(worker, None, too_few_files())
        if room:
            self._alive += room
            self._on_their_way += room
            self._nobody.clear()
            await self._ask("spawn", first, room, base, size, limits, parent)

    async def _ask(self, *request: Any) -> None:
        async with self._asking:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the reader is about to notice
                await self._loop.sock_sendall(self._fork_server, msgpack.packb(request))

    async def _wind_down(self) -> None:
        """End the workers that still run, and send their last lines to the runner."""
        await self._ask("end")
        # No deadline here: the fork server kills workers that don't end in their grace, and if it is stopped itself the
        # runner ends this connection after its close_timeout.
        await self._nobody.wait()
        await self._say_last_words()

    async def _say_last_words(self) -> None:
        self._over = True
        self._output.poke()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(deadlines.LAST_LINES):
                await self._telling
        await self._link.aclose(deadlines.LAST_LINES)

    async def _tell_news(self) -> None:
        """Send output, progress and ends, one batch at a time: what a slow runner doesn't take waits here, bounded."""
        while not self._over or not self._output.told:
            news = await self._output.news()
            for worker, (done, total) in news.progress.items():
                self._post(FrameType.PROGRESS, worker, done, total)
            self._acknowledged.clear()
            self._post(FrameType.LOG, news.lines, news.dropped)
            for exit in news.exits:
                self._post(FrameType.EXITED, *(exit if exit[3] else exit[:3]))
            await self._acknowledged.wait()

    def _read_fork_server(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                data, descriptors, _, _ = socket.recv_fds(self._fork_server, MESSAGE_SIZE, 1)
                if not data:
                    self._loop.remove_reader(self._fork_server)
                    self._nobody.set()  # its workers end with it
                    if self._ending is None:  # it was asked to end, and has no workers any more
                        self._ending = asyncio.create_task(self._say_last_words())
                    return
                self._relay(descriptors, *msgpack.unpackb(data))

    def _relay(self, descriptors: list[int], event: str, worker: int, *details: Any) -> None:
        if event in ("started", "failed"):
            self._on_their_way -= 1
        if event == "started" and descriptors:
            self._output.add(worker, descriptors[0])
            self._post(FrameType.STARTED, worker, *details)
        elif event == "started":
            self._turn_away(worker)
        else:
            if worker in self._turned_away:
                self._turned_away.discard(worker)
            elif event == "exited":
                code, results = details
                self._output.finish(worker, code, self._why_killed(code), results)
            else:
                self._output.finish(worker, None, details[0])
            self._alive -= 1
            if not self._alive:
                self._nobody.set()

    def _why_killed(self, code: int) -> str:
        before = self._oom_kills
        if code == -signal.SIGKILL:
            self._oom_kills = count_oom_kills()
        return OUT_OF_MEMORY if self._oom_kills > before else ""

    def _turn_away(self, worker: int) -> None:
        """Kill a worker whose output can't be read: something else took the descriptor that was free."""
        self._output.finish(worker, None, too_few_files())
        self._turned_away.add(worker)
        task = asyncio.create_task(self._ask("kill", worker, signal.SIGKILL))
        self._asked.add(task)
        task.add_done_callback(self._asked.discard)

    def _post(self, type: int, *values: Any) -> None:
        self._link.post_frame(type, codec.encode_inline(list(values))[0])


def _free_descriptors() -> int:
    """Return how many workers' outputs can still be read: each needs a descriptor here."""
    return file_limit() - len(os.listdir("/proc/self/fd")) - _SPARE_DESCRIPTORS
