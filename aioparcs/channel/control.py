"""Control connections: those of launchers, and of services that start services; they carry small frames only."""

from __future__ import annotations

import asyncio

from aioparcs.channel.connection import FrameConnection
from aioparcs.settings import KIB, MIB, Settings

__all__ = ["CONTROL_BODY", "control_link"]

# Bytes that a frame's body may have on a control connection.
CONTROL_BODY = 1 * MIB
# Bytes that wait unread on a control connection: they hold small frames, each of which costs more than its bytes.
_RECEIVE_QUEUE = 256 * KIB


def control_link(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, settings: Settings) -> FrameConnection:
    """Open a control connection, which carries small frames only."""
    limits = {"max_body": CONTROL_BODY, "receive_queue": _RECEIVE_QUEUE}
    lower = {name: min(limit, getattr(settings, name)) for name, limit in limits.items()}
    connection = FrameConnection(reader, writer, settings=settings._replace(**lower))
    connection.start()
    return connection
