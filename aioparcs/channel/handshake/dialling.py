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
    tries = _Tries(settings, timeout)
    while True:
        reader, writer = await dial(address, timeout=tries.left, no_route=tries.no_route)
        try:
            own = tries.handshake_time()
            return reader, writer, await introduce(reader, writer, renewed(hello, address), token, own)
        except BaseException as error:
            writer.transport.abort()
            pause = tries.pause_after(error)
        await asyncio.sleep(pause)
        tries.begin_next()


def reach_now(address: Address, hello: Hello, token: bytes, settings: Settings) -> tuple[socket.socket, Hello]:
    """
    Dial as `reach` does, but without TLS and without an event loop.

    Returns:
        The connection, and what the listener said of itself.
    """
    tries = _Tries(settings)
    while True:
        sock = dial_now(address, timeout=tries.left, no_route=tries.no_route)
        try:
            own = tries.handshake_time()
            return sock, introduce_now(sock, renewed(hello, address), token, own)
        except BaseException as error:
            sock.close()
            pause = tries.pause_after(error)
        sleep(pause)
        tries.begin_next()


class _Tries:
    """
    The time that tries to reach a listener have.

    Attributes:
        left: seconds for dialling.
        no_route: those once the network has said that it has no route to the host.
    """

    def __init__(self, settings: Settings, timeout: float | None = None) -> None:
        self.left = settings.connect_timeout if timeout is None else timeout
        self.no_route = _NO_ROUTE * settings.connect_timeout if timeout is None else timeout
        self._handshake_timeout = settings.handshake_timeout
        self._began = monotonic()
        self._deadline = self._began + self.left
        self._least = self._pause = FIRST_PAUSE

    def handshake_time(self) -> float:
        """Return the seconds for the handshake on a connection that was just made."""
        if monotonic() >= self._deadline:  # there was no route at first
            self._deadline = self._began + self.no_route
        return max(min(self._handshake_timeout, self._deadline - monotonic()), self._least)

    def pause_after(self, error: BaseException) -> float:
        """Return the seconds until the next try; raise the error if there is none."""
        if not isinstance(error, HungUp) or self._deadline - monotonic() - self._pause <= 0:
            raise error
        return self._pause

    def begin_next(self) -> None:
        """Begin the next try."""
        self._least = _LEAST
        self.left = max(self._deadline - monotonic(), self._least)
        self._pause = min(2 * self._pause, LONGEST_PAUSE)


def renewed(hello: Hello, address: Address) -> Hello:
    """Return a greeting with a nonce that was never used, and with the way to this process's memory if it is needed."""
    is_near = address.scheme == "unix" and not address.fingerprint
    # Workers that don't map the runner's memory may map what their launcher keeps.
    is_needed = hello.role in (Role.WORKER, Role.PEER) if is_near else hello.role == Role.LAUNCHER
    return hello._replace(nonce=new_nonce(), memory=own_probe() if is_needed else None)
