"""The acceptor of a listener: it shakes hands with the peers of the job, and closes all other connections."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping
from typing import Protocol

import msgpack

from aioparcs.auth import Hello
from aioparcs.channel.handshake.exchange import HungUp, accept
from aioparcs.channel.handshake.refusals import Refusals
from aioparcs.errors import HandshakeError
from aioparcs.settings import Settings
from aioparcs.shared import own_probe
from aioparcs.transport import PendingHandshakes, file_limit, is_of_another_user

__all__ = ["Acceptor", "ConnectionPolicy"]

# The part of all open files that connections in their handshake may be, and how many files they leave to others.
_SHARE, _SPARE_FILES = 4, 20
_TOO_MANY = "too many connections are in their handshake"


class ConnectionPolicy(Protocol):
    """The owner of a listener, which knows the peers that may connect."""

    def refusal_reason(self, peer: Hello) -> str | None:
        """Return why a peer that knows the token is refused, or None."""

    def is_ending(self, peer: Hello) -> bool:
        """Return True for a peer that this program itself ends: to leave during its handshake is expected of it."""

    def trace_context(self, peer: Hello) -> Mapping[str, str] | None:
        """Return the trace context of a worker's start, None for none."""

    def report(self, line: str) -> None:
        """Report a line about connections that are refused."""


class Acceptor:
    """
    Accepts connections.

    Args:
        role: what this program is, an `auth.Role`.
        job: the job's name.
        worker: the number of this program's worker, -1 for the runner.
        token: the job's secret.
        settings: limits and deadlines.
        policy: decides about peers.
    """

    def __init__(
        self, role: str, job: str, worker: int, token: bytes, settings: Settings, policy: ConnectionPolicy
    ) -> None:
        self._self = role, job, worker
        self._token = token
        self._settings = settings
        self._policy = policy
        self._refusals = Refusals(policy.report)
        self._pending: PendingHandshakes[asyncio.WriteTransport] = PendingHandshakes()
        self._last_files: set[asyncio.WriteTransport] = set()  # those among them that have one of the last descriptors

    @property
    def rejected_connections(self) -> int:
        """Connections that were refused so far."""
        return self._refusals.count

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Hello | None:
        """
        Shake hands with a peer that has connected; close the connection if it may not come in.

        Cancelling it ends the connection.

        Returns:
            What the peer said of itself, or None when it was refused.
        """
        transport = writer.transport
        hello, timeout = Hello.of(*self._self, self._settings), self._settings.handshake_timeout
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.family == socket.AF_UNIX and transport.get_extra_info("sslcontext") is None:
            hello = hello._replace(memory=own_probe())
        self._admit(transport)

        def refusal_reason(peer: Hello) -> str | None:
            # Closed to make room, with the rest of its handshake received already: it has no place to take.
            if transport not in self._pending:
                raise HungUp(_TOO_MANY)
            return self._policy.refusal_reason(peer)

        try:
            return await accept(reader, writer, hello, self._token, timeout, refusal_reason, self._welcome)
        except HandshakeError as error:
            # Not aborted: what refuses the peer, with the reason, is still on its way.
            writer.close()
            if transport not in self._pending:
                self._refusals.add(_TOO_MANY)
            elif not (isinstance(error, HungUp) and error.peer and self._policy.is_ending(error.peer)):
                self._refusals.add(str(error))
            return None
        except BaseException:
            transport.abort()
            raise
        finally:
            self._pending.discard(transport)
            self._last_files.discard(transport)

    def close(self) -> None:
        """Log the refused connections that were not logged yet."""
        self._refusals.close()

    def _welcome(self, peer: Hello) -> bytes:
        """Return the body of a peer's WELCOME: only a worker that knows trace contexts gets one."""
        context = self._policy.trace_context(peer) if peer.tracing else None
        return msgpack.packb(context) if context else b""

    def _admit(self, newest: asyncio.WriteTransport) -> None:
        """Add a connection to those in their handshake; close one of them if there are too many."""
        limit, sock = file_limit(), newest.get_extra_info("socket")
        # The kernel gives the lowest number that is free, so a high one means that few are left.
        if sock is not None and sock.fileno() >= limit - _SPARE_FILES:
            self._last_files.add(newest)
        most = min(self._settings.max_unauthenticated, limit // _SHARE)
        if self._last_files:
            most = min(most, len(self._pending))
        victim = self._pending.add(newest, max(1, most), is_foreign=is_of_another_user(newest))
        if victim:
            self._last_files.discard(victim)
            victim.abort()
