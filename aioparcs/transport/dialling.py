"""Dialling a listener, repeated while none listens there yet."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import socket
import ssl
from time import monotonic, sleep
from typing import Any

from aioparcs.address import Address
from aioparcs.errors import ConnectionLost, HandshakeError
from aioparcs.settings import Settings
from aioparcs.transport.certificates import client_context
from aioparcs.transport.sockets import abstract_name

__all__ = ["FIRST_PAUSE", "LONGEST_PAUSE", "dial", "dial_now"]

# Seconds between two tries: each pause is twice as long as the one before.
FIRST_PAUSE, LONGEST_PAUSE = 0.02, 1.0
_UNREACHABLE = "can't connect to {address} within {timeout:.3g} s: {reason}"


async def dial(
    address: Address, *, timeout: float = Settings().connect_timeout, no_route: float = 0.0
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """
    Connect, and try again while no listener is there yet.

    Cancelling it leaves no connection behind.

    Args:
        address: where to; its fingerprint asks for TLS with exactly that certificate.
        timeout: seconds for all tries together.
        no_route: seconds instead, if they are more, once the network has said that it has no route to the host.

    Raises:
        ConnectionLost: no listener answered in time.
        HandshakeError: the listener's certificate is another one.
    """
    pause, last, extra = FIRST_PAUSE, "no answer", max(no_route - timeout, 0.0)
    try:
        async with asyncio.timeout(timeout) as limit:
            while True:
                try:
                    return await _connect(address)
                except OSError as error:  # ssl.SSLError is one
                    last = _reason(error)
                    if error.errno == errno.EHOSTUNREACH and extra:
                        limit.reschedule((limit.when() or 0.0) + extra)
                        timeout, extra = timeout + extra, 0.0
                await asyncio.sleep(pause)  # back off: the listener may still be starting
                pause = min(2 * pause, LONGEST_PAUSE)
    except TimeoutError:
        raise ConnectionLost(_UNREACHABLE.format(address=address, timeout=timeout, reason=last)) from None


def dial_now(address: Address, *, timeout: float = Settings().connect_timeout, no_route: float = 0.0) -> socket.socket:
    """
    Connect as `dial` does, but without TLS and without an event loop.

    Args:
        address: where to.
        timeout: seconds for all tries together.
        no_route: seconds instead, if they are more, once the network has said that it has no route to the host.

    Raises:
        ConnectionLost: no listener answered in time.
    """
    deadline, pause = monotonic() + timeout, FIRST_PAUSE
    # For a text `socket` loads the idna codec, a sixth of what a worker's start takes it, in each of them.
    host: Any = address.host.encode() if address.host.isascii() else address.host
    while True:
        try:
            if address.scheme == "unix":
                return _connect_unix(address)
            return socket.create_connection((host, address.port), max(deadline - monotonic(), pause))
        except OSError as error:
            last = _reason(error)
            if error.errno == errno.EHOSTUNREACH and no_route > timeout:
                deadline, timeout = deadline + no_route - timeout, no_route
        if monotonic() + pause >= deadline:
            raise ConnectionLost(_UNREACHABLE.format(address=address, timeout=timeout, reason=last))
        sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)


async def _connect(address: Address) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    context = client_context() if address.fingerprint else None
    name = "" if context else None
    if address.scheme == "unix":
        sock = _connect_unix(address)
        reader, writer = await asyncio.open_unix_connection(sock=sock, ssl=context, server_hostname=name)
    else:
        reader, writer = await asyncio.open_connection(address.host, address.port, ssl=context, server_hostname=name)
    if context:
        certificate = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        if hashlib.sha256(certificate).hexdigest() != address.fingerprint:
            writer.transport.abort()
            raise HandshakeError(f"the certificate of {address} is not the one that its address names")
    return reader, writer


def _connect_unix(address: Address) -> socket.socket:
    """Connect at once or fail: when a listener's backlog is full the caller tries again."""
    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.setblocking(False)
        sock.connect(abstract_name(address))
    except OSError:
        sock.close()
        raise
    return sock


def _reason(error: OSError) -> str:
    """Return the reason in the system's words: asyncio's ``strerror`` is one of its own."""
    if error.errno and not isinstance(error, ssl.SSLError | socket.gaierror):
        return os.strerror(error.errno)
    return error.strerror or str(error)
