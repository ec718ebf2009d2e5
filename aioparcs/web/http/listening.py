"""The address of the page: where the server listens, and under which names it answers."""

from __future__ import annotations

import errno
import socket
import ssl
from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple

from aioparcs.errors import SettingError
from aioparcs.transport import os_reason

__all__ = ["PORT", "Listening", "listen"]

PORT = 8787
_TRIES = 100  # ports after the usual one
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


class Listening(NamedTuple):
    """
    A socket that listens, and what is known of it.

    Attributes:
        socket: the socket.
        url: the server's address for people.
        hosts: the names and addresses by which it may be asked.
        any_address: whether it listens on all addresses of this machine.
        tls: the context of TLS, None for plain HTTP.
    """

    socket: socket.socket
    url: str
    hosts: tuple[str, ...]
    any_address: bool
    tls: ssl.SSLContext | None


def listen(
    hosts: Sequence[str] = (), port: int | None = None, *, cert: Path | None = None, key: Path | None = None,
    insecure: bool = False,
) -> Listening:  # fmt: skip
    """
    Return a socket for the page.

    Args:
        hosts: the address to listen on, and names by which it is asked besides; by default 127.0.0.1.
        port: its port; by default 8787, or else the next one that is free.
        cert: a certificate for TLS, and its chain.
        key: the certificate's private key.
        insecure: whether other machines may ask without TLS.

    Raises:
        SettingError: there is no such address or certificate, the port is taken, or TLS is missing.
    """
    address = next((host for host in hosts if _is_address(host)), None) or _resolved(hosts)
    is_loopback = ip_address(address).is_loopback
    if not (is_loopback or cert or insecure):
        raise SettingError(
            f"--host {address} can be reached from other machines, and what they send could be read on its way: add "
            "--tls-cert FILE and --tls-key FILE, or --insecure; or use ssh -L 8787:127.0.0.1:8787 and no --host"
        )
    tls = _context(cert, key) if cert else None
    bound = _bind(address, port)
    any_address = ip_address(address).is_unspecified
    names = (*hosts, address, *(_LOOPBACK if is_loopback or any_address else ()))
    shown = next((host for host in hosts if not _is_address(host)), socket.gethostname() if any_address else address)
    names = (*names, shown)
    place = f"[{shown}]" if ":" in shown else shown
    url = f"{'https' if tls else 'http'}://{place}:{bound.getsockname()[1]}/"
    return Listening(bound, url, tuple(dict.fromkeys(names)), any_address, tls)


def _resolved(hosts: Sequence[str]) -> str:
    """Return the address of the first name, 127.0.0.1 without any."""
    if not hosts:
        return _LOOPBACK[0]
    try:
        return str(socket.getaddrinfo(hosts[0], None, type=socket.SOCK_STREAM)[0][4][0])
    except OSError as error:
        raise SettingError(f"--host {hosts[0]}: {os_reason(error)}") from None


def _bind(address: str, port: int | None) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    first = PORT if port is None else port
    for number in range(first, first + (_TRIES if port is None else 1)):
        bound = socket.socket(family, socket.SOCK_STREAM)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind((address, number))
            bound.listen(64)  # two servers may bind one port by that option, but not listen
            return bound
        except (OSError, OverflowError) as error:
            bound.close()
            if isinstance(error, OverflowError) or error.errno != errno.EADDRINUSE or port is not None:
                reason = os_reason(error) if isinstance(error, OSError) else str(error)
                raise SettingError(f"{address}:{number} can't be used: {reason}; choose another by --port") from None
    raise SettingError(f"the ports {first} to {first + _TRIES - 1} of {address} are taken; choose one by --port")


def _context(cert: Path, key: Path | None) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(cert, key)
    except OSError as error:  # ssl.SSLError is one
        raise SettingError(f"--tls-cert {cert}, --tls-key {key}: {error}") from None
    return context


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
