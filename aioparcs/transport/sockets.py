"""Sockets: their creation, their options, and what the kernel knows of them."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from typing import Any

from aioparcs.address import Address

__all__ = [
    "abstract_name",
    "bind",
    "bound_address",
    "is_of_another_user",
    "keep_alive",
    "source_address",
    "streams_of",
    "wait_silent",
]

# Seconds in which a silent host differs from one that has nothing to send: the kernel asks after one second.
_MIN_LIVENESS = 1.5
# Of Linux's struct tcp_info: milliseconds since data, and since an acknowledgement, was received last.
_TCP_INFO = struct.Struct("=52x2I")
# Linux's struct ucred: process, user and group, as this process's own user namespace calls them.
_CREDENTIALS = struct.Struct("=iII")


async def streams_of(sock: socket.socket, **tls: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Return a connected socket's streams in the running loop; ``tls`` goes to `connect_accepted_socket`."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(loop=loop)
    protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
    transport, _ = await loop.connect_accepted_socket(lambda: protocol, sock, **tls)
    return reader, asyncio.StreamWriter(transport, protocol, reader, loop)


def source_address(host: str, family: int = socket.AF_UNSPEC) -> str:
    """
    Return this host's address on the route to another host, "" if there is none; nothing is sent.

    Args:
        host: the other host's name or address.
        family: ``socket.AF_INET`` for an IPv4 address only.
    """
    try:
        found, kind, _, _, address = socket.getaddrinfo(host, 9, family=family, type=socket.SOCK_DGRAM)[0]
        with socket.socket(found, kind) as sock:
            sock.connect(address)
            return str(sock.getsockname()[0])
    except OSError:
        return ""


def is_of_another_user(transport: asyncio.BaseTransport) -> bool:
    """
    Return True if a Unix socket's other end was connected by another user than this process's, or root.

    Users outside this process's user namespace are others. Over TCP it can't be known: False.
    """
    sock = transport.get_extra_info("socket")
    if sock is None or sock.family != socket.AF_UNIX:
        return False
    _, user, _ = _CREDENTIALS.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    return user not in (0, os.geteuid())


def keep_alive(transport: asyncio.BaseTransport, liveness: float, *, user_timeout: bool) -> None:
    """
    Set the options by which the kernel notices that the peer's host is gone.

    Args:
        transport: the connection; nothing happens unless it is TCP.
        liveness: seconds of silence after which an idle connection is given up.
        user_timeout: also give up when sent bytes stay unacknowledged for so long. It ends a connection whose
            reader pauses as well, so it is for connections that are always read.
    """
    sock = transport.get_extra_info("socket")
    if sock is None or sock.family == socket.AF_UNIX:
        return
    interval = max(1, round(liveness / 6))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, max(1, round(liveness / 2)))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, interval)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
    if user_timeout:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(liveness * 1000))


async def wait_silent(transport: asyncio.WriteTransport, liveness: float) -> bool:
    """
    Wait for the peer's host: return True when it was silent for so many seconds, False when the connection is closed.

    An acknowledgement counts, so a program that stands still on a host that is well is no silent one. The kernel's
    own timeouts don't notice when this host drops the packets itself: a cable is unplugged, an interface gone.
    """
    while not transport.is_closing():
        if _silence(transport) > max(liveness, _MIN_LIVENESS):
            return True
        await asyncio.sleep(liveness / 4)
    return False


def _silence(transport: asyncio.BaseTransport) -> float:
    sock = transport.get_extra_info("socket")
    if sock is None or sock.family == socket.AF_UNIX:
        return 0.0
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size)
    return float(min(_TCP_INFO.unpack(info))) / 1000


def abstract_name(address: Address) -> str:
    """Return the name that the kernel uses for a Unix socket of Linux's abstract namespace."""
    return "\0" + address.host[1:]


def bind(address: Address) -> socket.socket:
    """Return the bound socket of a listener, which doesn't listen yet."""
    if address.scheme == "unix":
        sock = socket.socket(socket.AF_UNIX)
        # The bare "@" lets this program choose; the name is too long to be guessed or repeated.
        if address.host == "@":
            address = address._replace(host=f"@aioparcs-{os.urandom(16).hex()}")
        target: Any = abstract_name(address)
    else:
        family, _, _, _, target = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        sock = socket.socket(family)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind(target)
    except OSError:
        sock.close()
        raise
    return sock


def bound_address(address: Address, sock: socket.socket, fingerprint: str) -> Address:
    """Return an address with the port or the name that the kernel has chosen."""
    name = sock.getsockname()
    if address.scheme == "unix":
        return address._replace(host="@" + name[1:].decode(), fingerprint=fingerprint)
    return address._replace(port=name[1], fingerprint=fingerprint)
