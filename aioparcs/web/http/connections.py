"""The connections of a server: a bounded number, of which those without a session give way to new ones."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import cast

from aiohttp import web

__all__ = ["FIRST_REQUEST", "Connections"]

FIRST_REQUEST = 5.0
"""Seconds that a connection may take until its first request has been answered, unless that has a session."""

_MOST = 128  # that are open at once
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Protocol = web.RequestHandler


class Connections:
    """
    The connections of one server.

    Args:
        is_known: returns whether a request has a session or a token.
    """

    def __init__(self, is_known: Callable[[web.Request], bool]) -> None:
        self._is_known = is_known
        self._known: set[Protocol] = set()
        self._answered: set[Protocol] = set()

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Note that a connection has a session, or was answered, and answer."""
        protocol = request.protocol
        if self._is_known(request):
            self._known.add(protocol)
        answer = await handler(request)
        self._answered.add(protocol)
        return answer

    def protocols(self, server: web.Server) -> Callable[[], asyncio.Protocol]:
        """Return what makes the protocols of a server's connections."""
        return lambda: self._protocol(server)

    def _protocol(self, server: web.Server) -> asyncio.Protocol:
        self._known.intersection_update(server.connections)
        self._answered.intersection_update(server.connections)
        if not self._make_room(server):
            return _Refusal()
        protocol = server()
        asyncio.get_running_loop().call_later(FIRST_REQUEST, self._check, server, protocol)
        return protocol

    def _make_room(self, server: web.Server) -> bool:
        """Close the oldest connections without a session if there are too many; return whether there is room."""
        there = [one for one in server.connections if one.transport and not one.transport.is_closing()]
        excess = len(there) - _MOST + 1
        unauthenticated = [one for one in there if one not in self._known]
        for one in unauthenticated[: max(0, excess)]:
            _abort(one)
        return excess <= len(unauthenticated)

    def _check(self, server: web.Server, protocol: Protocol) -> None:
        if protocol in server.connections and protocol not in self._known | self._answered:
            _abort(protocol)


def _abort(protocol: Protocol) -> None:
    if protocol.transport:
        protocol.transport.abort()


class _Refusal(asyncio.Protocol):
    """Closes a connection that is one too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast(asyncio.Transport, transport).abort()  # uvloop's transports are no subclasses of it
