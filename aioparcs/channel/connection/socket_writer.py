"""Writing to the socket of a transport, past the transport."""

from __future__ import annotations

import asyncio
import os
import select
import socket
import threading
from collections.abc import Callable
from typing import Any

__all__ = ["BURST", "SocketWriter"]

# Bytes that are written before other tasks have their turn.
BURST = 4 << 20
_HANG_UP = select.POLLHUP | getattr(select, "POLLRDHUP", 0)  # the latter, the end of a TCP peer, is Linux's


class SocketWriter:
    """
    Writes to a transport's socket, bypassing the transport.

    Args:
        transport: its water marks are set so that "not paused" means "written".

    Attributes:
        transport: the same.
        fd: the socket's descriptor, -1 where the transport is no plain socket, or is lost.
        is_local: True for a Unix socket, also under TLS.
        through: writes to the transport.
        is_amid: True while a large piece is partly written, and only this says so.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self.transport = transport
        self.is_amid = False
        self._is_shared = False
        # TLS and memory transports have no socket that may be written to behind their back. A TLS transport with
        # a high-water mark of 0 pauses when it holds nothing at all, and then nothing makes it resume.
        plain = transport.get_extra_info("sslcontext") is None
        sock = transport.get_extra_info("socket")
        transport.set_write_buffer_limits(high=0 if plain else 1)
        self.fd = -1 if sock is None or not plain else sock.fileno()
        self.is_local = sock is not None and sock.family == socket.AF_UNIX
        self.through: Callable[[Any], object] = transport.write
        if not plain and sock is not None:
            self.through = self._write_unless_hung_up
            self._hang_up = select.poll()
            self._hang_up.register(sock.fileno(), _HANG_UP)

    def share(self, lock: threading.Lock) -> Callable[[Any], object]:
        """Write to the transport only: another thread writes to the socket too. Returns what writes under a lock."""
        self._is_shared, write = True, self.through

        def write_alone(data: Any) -> None:
            with lock:
                write(data)

        return write_alone

    def _write_unless_hung_up(self, data: Any) -> None:
        """Write to TLS, whose failed writes close the socket with what the peer had sent; reading meets its end."""
        if self.transport.is_closing() or not self._hang_up.poll(0):
            self.transport.write(data)

    def write(self, view: memoryview) -> int:
        """Write, if the transport holds nothing; return the count of bytes that the kernel took."""
        if self.fd < 0 or self._is_shared or self.transport.is_closing() or self.transport.get_write_buffer_size():
            return 0
        count, end = 0, min(len(view), BURST)
        try:
            while count < end:
                count += os.write(self.fd, view[count:end])
        except (BlockingIOError, InterruptedError):
            pass
        except OSError:  # the transport meets the same error and reports it
            self.fd = -1
        return count
