"""Dialling a listener and the handshake, repeated while the listener has no room."""

from __future__ import annotations

import asyncio
import socket
from time import monotonic, sleep

from aioparcs.address import Address
from aioparcs.auth import Hello, Role, new_nonce
from aioparcs.channel.handshake.exchange import HungUp, introduce, introduce_now
from aioparcs.settings import Settings
from aioparcs.shared import own_probe
from aioparcs.transport import FIRST_PAUSE, LONGEST_PAUSE, dial, dial_now

__all__ = ["Connection", "reach", "reach_now", "renewed"]

# Times as long as the usual time for a connection.
_NO_ROUTE = 4
# Seconds that a listener which has hung up has to do so again, at the least: it is there, and this machine may be slow.
_LEAST = 1.0

# A connection's two ends, and what the listener said of itself.
Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter, Hello]


async def reach(
    address: Address, hello: Hello, token: bytes, settings: Settings, timeout: float | None = None
) -> Connection:
    """
    Dial a listener and shake hands; one that hangs up without a verdict is dialled again.

    Cancelling it leaves no connection behind.

    Args:
        address: where to.
        hello: what to say of this program; each try has a nonce of its own.
        token: the job's token.
        settings: limits and deadlines.
        timeout: seconds for all tries together. By default ``connect_timeout``, and four times that once the network
            has said that it has no route to the host: Docker announces all containers to all nodes every 30 s, and
            after a network failure what was announced meanwhile is known only then.

    Raises:
        ConnectionLost: no listener answered in time.
        HandshakeError: the listener refused this program, or isn't who it should be.
    """
    left, least, pause = settings.connect_timeout if timeout is None else timeout, FIRST_PAUSE, FIRST_PAUSE
    no_route = _NO_ROUTE * settings.connect_timeout if timeout is None else left
    began = monotonic()
    deadline = began + left
    while True:
        reader, writer = await dial(address, timeout=left, no_route=no_route)
        if monotonic() >= deadline:  # there was no route at first
            deadline = began + no_route
        try:
            own = max(min(settings.handshake_timeout, deadline - monotonic()), least)
            return reader, writer, await introduce(reader, writer, renewed(hello, address), token, own)
        except BaseException as error:
            writer.transport.abort()
            if not isinstance(error, HungUp) or deadline - monotonic() - pause <= 0:
                raise
        least = _LEAST
        await asyncio.sleep(pause)
        left, pause = max(deadline - monotonic(), least), min(2 * pause, LONGEST_PAUSE)


def reach_now(address: Address, hello: Hello, token: bytes, settings: Settings) -> tuple[socket.socket, Hello]:
    """
    Dial as `reach` does, but without TLS and without an event loop.

    Returns:
        The connection, and what the listener said of itself.
    """
    left, least, pause = settings.connect_timeout, FIRST_PAUSE, FIRST_PAUSE
    no_route = _NO_ROUTE * left
    began = monotonic()
    deadline = began + left
    while True:
        sock = dial_now(address, timeout=left, no_route=no_route)
        if monotonic() >= deadline:  # there was no route at first
            deadline = began + no_route
        try:
            own = max(min(settings.handshake_timeout, deadline - monotonic()), least)
            return sock, introduce_now(sock, renewed(hello, address), token, own)
        except BaseException as error:
            sock.close()
            if not isinstance(error, HungUp) or deadline - monotonic() - pause <= 0:
                raise
        least = _LEAST
        sleep(pause)
        left, pause = max(deadline - monotonic(), least), min(2 * pause, LONGEST_PAUSE)


def renewed(hello: Hello, address: Address) -> Hello:
    """Return a greeting with a nonce that was never used, and with the way to this process's memory if it is needed."""
    is_near = address.scheme == "unix" and not address.fingerprint
    # Workers that don't map the runner's memory may map what their launcher keeps.
    is_needed = hello.role in (Role.WORKER, Role.PEER) if is_near else hello.role == Role.LAUNCHER
    return hello._replace(nonce=new_nonce(), memory=own_probe() if is_needed else None)
