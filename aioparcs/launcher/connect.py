"""Connections of launchers and workers to their runner."""

from __future__ import annotations

import socket

from aioparcs.auth import Hello
from aioparcs.channel import Connection, reach, reach_now
from aioparcs.launcher.context import RunnerEndpoint
from aioparcs.settings import Settings
from aioparcs.transport import streams_of

__all__ = ["Connection", "adopt", "connect", "connect_now"]


async def connect(endpoint: RunnerEndpoint, role: str, number: int, settings: Settings) -> Connection:
    """
    Dial the runner and shake hands with it.

    Args:
        endpoint: where the runner is.
        role: an `auth.Role`.
        number: the launcher's slot, or the worker's number.
        settings: limits and deadlines.

    Returns:
        The connection's two ends, and what the runner said of itself.

    Raises:
        ConnectionLost: the runner didn't answer in time.
        HandshakeError: the runner refused this process, or isn't the runner.
    """
    return await reach(endpoint.address, Hello.of(role, endpoint.job, number, settings), endpoint.token, settings)


def connect_now(endpoint: RunnerEndpoint, role: str, number: int, settings: Settings) -> tuple[socket.socket, Hello]:
    """
    Connect as `connect` does, but without TLS and without an event loop: a fork copies less memory for it.

    Returns:
        The connection, and what the runner said of itself.
    """
    return reach_now(endpoint.address, Hello.of(role, endpoint.job, number, settings), endpoint.token, settings)


async def adopt(sock: socket.socket, runner: Hello) -> Connection:
    """Add the connection that `connect_now` has returned to the running loop."""
    return *await streams_of(sock), runner
