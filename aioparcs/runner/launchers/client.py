"""The runner's side of a launcher's control connection."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING

from aioparcs import deadlines
from aioparcs.channel import FrameConnection
from aioparcs.errors import ConnectionLost, ParcsError
from aioparcs.messages.launcher import (
    FILES_WINDOW,
    Files,
    FilesTaken,
    Kept,
    Kill,
    LauncherReport,
    LogReceived,
    Stack,
    Start,
    Usage,
    UsageRequest,
    read_launcher_report,
)
from aioparcs.settings import FIRST_CONTROL
from aioparcs.wire import FrameType

if TYPE_CHECKING:
    from aioparcs.runner.launchers.kept_memories import KeptMemories

__all__ = ["LauncherClient"]

# Pings in the time that a silent launcher gets.
_PINGS = 4
# Characters of a launcher's reason that people are shown.
_LONGEST_PROBLEM = 8 << 10


class LauncherClient:
    """
    The control connection of one launcher.

    Args:
        slot: the launcher's number.
        connection: the connection.
        liveness: seconds without a byte after which its host counts as lost.
        takes_files: whether it can be sent files.
        control: the highest type of frames that it knows.
        memory: how memory that it keeps is reached, if it has said so.

    Attributes:
        is_silent: True once its host counts as lost.
    """

    def __init__(
        self,
        slot: int,
        connection: FrameConnection,
        liveness: float,
        *,
        takes_files: bool = False,
        control: int = FIRST_CONTROL,
        memory: tuple[int, int, bytes] | None = None,
    ) -> None:
        self.slot = slot
        self.control = control
        self.takes_files = takes_files
        self._on_usage: Callable[[Usage], object] | None = None  # while an answer is to come
        self._taken = FilesTaken(0)
        self._changed = asyncio.Event()
        self._end: ParcsError | None = None
        self.is_silent = False
        self._memory = memory if control >= FrameType.MEMORY else None
        self._connection = connection
        self._liveness = liveness

    @cached_property
    def memories(self) -> KeptMemories:
        """What it keeps for its workers."""
        from aioparcs.runner.launchers.kept_memories import KeptMemories  # few pools have such arguments

        return KeptMemories(self._connection, self._memory)

    @property
    def bytes_received(self) -> int:
        """Bytes that have arrived so far: a launcher that reports makes it grow."""
        return self._connection.bytes_received

    def send(self, request: Start | Kill | Stack | UsageRequest) -> None:
        """Send a request, if the launcher is still connected."""
        self._connection.post_frame(*request.encode())

    async def recv(self) -> LauncherReport:
        """
        Receive the launcher's next report.

        Raises:
            EndOfChannel: it has ended the connection.
            ConnectionLost: the connection broke, or its host is silent.
            ProtocolError: it has sent what it may not.
        """
        try:
            return read_launcher_report(await self._connection.recv_frame())
        except ParcsError as error:
            self._end = error
            self._changed.set()
            if self._memory is not None:
                self.memories.lose()
            raise

    async def send_files(self, pieces: Iterator[bytes], patience: float) -> None:
        """
        Send files, and wait until they are in their places; a thread makes the pieces.

        Args:
            pieces: the pieces of their tar.
            patience: seconds after which a launcher that takes no piece is given up.

        Raises:
            OSError: making a piece has failed, or the launcher can't have them.
            ParcsError: the connection has ended.
        """
        sent = 0
        while piece := await asyncio.to_thread(next, pieces, b""):
            await self._wait_taken(sent + 1 - FILES_WINDOW, patience)
            await self._connection.send_frame(*Files(piece).encode())
            sent += 1
        await self._wait_taken(sent + 1 - FILES_WINDOW, patience)
        await self._connection.send_frame(*Files(b"").encode())
        await self._wait_taken(sent + 1, patience)

    def request_usage(self, on_usage: Callable[[Usage], object]) -> None:
        """Request what its workers use, unless it can't say or has yet to answer; ``on_usage`` gets the answer."""
        if self.control >= FrameType.USAGE and self._on_usage is None:
            self._on_usage = on_usage
            self.send(UsageRequest())

    def handle(self, report: FilesTaken | Usage | Kept) -> None:
        """Handle a report of the launcher on files, on memory, or on what its workers use."""
        if isinstance(report, Kept):
            self.memories.handle(report)
        elif isinstance(report, FilesTaken):
            self._taken = report
            self._changed.set()
        elif self._on_usage is not None:  # else it wasn't asked
            on_usage, self._on_usage = self._on_usage, None
            on_usage(report)

    async def _wait_taken(self, pieces: int, patience: float) -> None:
        """Wait until the launcher has taken so many pieces in all."""
        while not self._end:
            taken = self._taken
            if taken.problem is not None:
                raise OSError(taken.problem[:_LONGEST_PROBLEM])
            if taken.pieces >= pieces:
                return
            self._changed.clear()
            try:
                async with asyncio.timeout(patience):
                    await self._changed.wait()
            except TimeoutError:
                raise OSError(f"its launcher took no piece of them for {patience:g} s (PARCS_START_TIMEOUT)") from None
        raise self._end

    async def wait_served(self, serving: asyncio.Task[None]) -> None:
        """Wait until the task that serves it has ended, or no byte came for as long as the end of a worker takes."""
        before = -1
        while not serving.done() and self.bytes_received != before:
            before = self.bytes_received
            await asyncio.wait([serving], timeout=deadlines.KILL_REPORT)

    async def acknowledge(self) -> None:
        """Ask for the next batch of lines when there is room: nothing piles up for a launcher that doesn't read."""
        with contextlib.suppress(ParcsError):  # frames that arrived before the end are still to be read
            await self._connection.send_frame(*LogReceived().encode())

    async def watch_liveness(self) -> None:
        """Send pings, and abort the connection when the launcher's host is silent for too long."""
        loop, connection = asyncio.get_running_loop(), self._connection
        pause = self._liveness / _PINGS
        received, since = connection.bytes_received, loop.time()
        while not self.is_silent:
            connection.post_frame(FrameType.PING)
            pinged = loop.time()
            await asyncio.sleep(pause)
            now = loop.time()
            # A pause that was much too long is this program's own stall: what came meanwhile has not been read yet.
            if connection.bytes_received != received or now - pinged > 2 * pause:
                received, since = connection.bytes_received, now
            elif now - since >= self._liveness:
                self.is_silent = True
                self.abort(ConnectionLost(f"its host was silent for {self._liveness:g} s"))

    def abort(self, reason: ConnectionLost | None = None) -> None:
        """Abort the connection."""
        self._connection.abort(reason)

    async def aclose(self) -> None:
        """End the connection; a launcher that is still there kills its workers and ends."""
        await self._connection.aclose(deadlines.CONTROL_CLOSE)
