"""The agent's end of the socket pair to the fork server."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from aioparcs.messages.launcher import DATAGRAM_SIZE, Exited, Kill, Start, Started, read_datagram, to_datagram

__all__ = ["ForkServerClient"]


class ForkServerClient:
    """
    Requests to the fork server, the parent of this process, and its reports.

    Args:
        sock: this end of the socket pair; messages keep their boundaries.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._sending = asyncio.Lock()
        self._pid = os.getppid()
        sock.setblocking(False)

    @property
    def is_stopped(self) -> bool:
        """True while it is stopped by a signal, such as SIGSTOP."""
        try:
            stat = Path(f"/proc/{self._pid}/stat").read_bytes()
        except OSError:  # it has ended: `receive` is about to notice
            return False
        return stat.rpartition(b")")[2].split()[0] == b"T"

    def fileno(self) -> int:
        """Return the descriptor: it is readable when there is a report."""
        return self._sock.fileno()

    async def send(self, request: Start | Kill) -> None:
        """Send a request, once there is room; nothing happens when the fork server is gone."""
        async with self._sending:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # `receive` is about to notice
                await asyncio.get_running_loop().sock_sendall(self._sock, to_datagram(request))

    def receive(self) -> Iterator[tuple[Started | Exited, list[int]]]:
        """
        Yield the reports that are there, each with the descriptors that came with it.

        Raises:
            EOFError: the fork server is gone.
        """
        with contextlib.suppress(BlockingIOError):
            while True:
                data, descriptors, _, _ = socket.recv_fds(self._sock, DATAGRAM_SIZE, 1)
                if not data:
                    raise EOFError
                report = read_datagram(data)
                if isinstance(report, Started | Exited):
                    yield report, descriptors
