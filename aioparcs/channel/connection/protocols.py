"""The asyncio protocols of a connection: a transport's change from streams to frames, and what is still undecoded."""

from __future__ import annotations

import asyncio
import fcntl
import os
import sys
from collections.abc import Callable
from typing import Any, Protocol

from aioparcs.channel.connection.outbox import Outbox

__all__ = ["BufferProtocol", "ChunkProtocol", "bind", "drain_reader", "drain_socket"]


class ChunkProtocol(asyncio.Protocol):
    """Receives chunks; it has no slots, so that its methods can be replaced."""


class BufferProtocol(asyncio.BufferedProtocol):
    """Receives straight into the decoder's memory."""


class _Connection(Protocol):
    def eof_received(self) -> bool: ...
    def connection_lost(self, error: Exception | None) -> None: ...


def bind(protocol: Any, connection: _Connection, outbox: Outbox, **reading: Callable[..., Any]) -> None:
    """Set a protocol's methods: bound ones instead of methods that call them, which saves a call for each chunk."""
    for name, method in reading.items():
        setattr(protocol, name, method)
    protocol.eof_received, protocol.connection_lost = connection.eof_received, connection.connection_lost
    protocol.pause_writing, protocol.resume_writing = outbox.pause, outbox.resume


def drain_reader(reader: asyncio.StreamReader) -> tuple[bytes, bool]:
    """Return what a reader holds, without waiting, and whether its stream has ended."""
    buffered = _step(reader, 1 << 30)
    return buffered or b"", buffered == b"" or (buffered is not None and _step(reader, 1) == b"")


def drain_socket(transport: asyncio.Transport) -> tuple[bytes, bool]:
    """
    Return what the socket of a broken transport holds, without waiting, and whether that is all that the peer sent.

    A transport calls `connection_lost` before it closes its socket. One with TLS has closed it by then.
    """
    is_plain = transport.get_extra_info("sslcontext") is None
    sock = transport.get_extra_info("socket") if is_plain else None
    if sock is None:
        return b"", False
    import termios  # most connections end well

    fd, held = sock.fileno(), bytearray()
    try:
        # The kernel's count bounds it: a peer that has only ended reading may go on sending.
        count = int.from_bytes(fcntl.ioctl(fd, termios.FIONREAD, bytes(4)), sys.byteorder)
        while len(held) <= count:
            chunk = os.read(fd, count + 1 - len(held))
            if not chunk:
                return bytes(held), True
            held += chunk
    except BlockingIOError:
        pass
    except OSError:  # a reset, which comes behind the bytes that have arrived
        return bytes(held), True
    return bytes(held), False


def _step(reader: asyncio.StreamReader, size: int) -> bytes | None:
    """Return what a read returns without waiting; None if it would wait."""
    reading = reader.read(size)
    try:
        reading.send(None)
    except StopIteration as stop:
        return bytes(stop.value)
    except OSError:  # the connection broke before; its loss is noticed by the transport
        return b""
    reading.close()
    return None
