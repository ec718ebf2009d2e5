"""The asyncio protocols of a link: a transport's change from streams to a link, and what a reader still holds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from aioparcs.channel.inbox import Inbox
from aioparcs.channel.outbox import Outbox

__all__ = ["bind_protocols", "drain_reader"]


class _Chunks(asyncio.Protocol):
    """Receives chunks; it has no slots, so that its methods can be replaced."""


class _Pieces(asyncio.BufferedProtocol):
    """Receives straight into the decoder's memory."""


def bind_protocols(
    inbox: Inbox, outbox: Outbox, eof: Callable[[], bool], lost: Callable[[Exception | None], None]
) -> None:
    """Set the two protocols of an inbox: one receives chunks, one receives into the decoder's memory."""
    inbox.chunks, inbox.pieces = _Chunks(), _Pieces()
    # Bound methods instead of methods that call them: a call less for each chunk.
    _set(inbox.chunks, data_received=inbox.data_received)
    _set(inbox.pieces, get_buffer=inbox.get_buffer, buffer_updated=inbox.buffer_updated)
    for protocol in (inbox.chunks, inbox.pieces):
        _set(protocol, eof_received=eof, connection_lost=lost)
        _set(protocol, pause_writing=outbox.pause, resume_writing=outbox.resume)


def drain_reader(reader: asyncio.StreamReader) -> tuple[bytes, bool]:
    """Return what a reader holds, without waiting, and whether its stream has ended."""
    held = _step(reader, 1 << 30)
    return held or b"", held == b"" or (held is not None and _step(reader, 1) == b"")


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


def _set(protocol: Any, **callbacks: Any) -> None:
    for name, callback in callbacks.items():
        setattr(protocol, name, callback)
