"""The runner's side of a launcher's control connection."""

from __future__ import annotations

import asyncio
import contextlib

from aioparcs import deadlines
from aioparcs.channel import FrameConnection
from aioparcs.errors import ConnectionLost, ParcsError
from aioparcs.messages.launcher import Kill, LauncherReport, LogReceived, Start, read_launcher_report
from aioparcs.wire import FrameType

__all__ = ["LauncherClient"]

# Pings in the time that a silent launcher gets.
_PINGS = 4


class LauncherClient:
    """
    The control connection of one launcher.

    Args:
        slot: the launcher's number.
        connection: the connection.
        liveness: seconds without a byte after which its host counts as lost.

    Attributes:
        is_silent: True once its host counts as lost.
    """

    def __init__(self, slot: int, connection: FrameConnection, liveness: float) -> None:
        self.slot = slot
        self.is_silent = False
        self._connection = connection
        self._liveness = liveness

    @property
    def bytes_received(self) -> int:
        """Bytes that have arrived so far: a launcher that reports makes it grow."""
        return self._connection.bytes_received

    def send(self, request: Start | Kill) -> None:
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
        return read_launcher_report(await self._connection.recv_frame())

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
