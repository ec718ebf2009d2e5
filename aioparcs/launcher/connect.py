"""How launchers and workers get to their runner."""

from __future__ import annotations

import asyncio

from aioparcs.auth import Hello, new_nonce
from aioparcs.channel import introduce
from aioparcs.launcher.place import Home
from aioparcs.settings import VERSION, Settings
from aioparcs.transport import dial

__all__ = ["connect"]


async def connect(
    home: Home, role: str, number: int, settings: Settings
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, Hello]:
    """
    Dial the runner and introduce this process.

    Args:
        home: where the runner is.
        role: an `auth.Role`.
        number: the launcher's slot, or the worker's number.
        settings: limits and deadlines.

    Returns:
        The connection's two ends, and what the runner said of itself.

    Raises:
        ConnectionLost: nobody answered in time.
        HandshakeError: the runner refused this process, or isn't the runner.
    """
    reader, writer = await dial(home.address, timeout=settings.connect_timeout)
    hello = Hello(role, home.job, number, new_nonce(), f"aioparcs/{VERSION}", settings.max_body, settings.max_buffers)
    try:
        return reader, writer, await introduce(reader, writer, hello, home.token, settings.handshake_timeout)
    except BaseException:
        writer.transport.abort()
        raise
