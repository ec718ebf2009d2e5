"""What a listener does with whoever connects: those who belong to the job shake hands, the others are closed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import NamedTuple

from aioparcs.auth import Hello
from aioparcs.channel.handshake import HungUp, accept
from aioparcs.channel.refusals import Refusals
from aioparcs.errors import HandshakeError
from aioparcs.settings import Settings
from aioparcs.transport import file_limit, is_of_another_user

__all__ = ["Reception"]

# The part of all open files that connections in their handshake may be, and how many files they leave to others.
_SHARE, _SPARE_FILES = 4, 20
# Seconds that a connection has for its handshake when there are too many; one that is well takes a few milliseconds.
_GRACE = 0.25


class _Arrival(NamedTuple):
    """A connection in its handshake: since when, and whether it is another user's of this machine."""

    time: float
    is_others: bool


class Reception:
    """
    Receives connections.

    Args:
        role: what this program is, an `auth.Role`.
        job: the job's name.
        worker: the number of this program's worker, -1 for the runner.
        token: the job's secret.
        settings: limits and deadlines.
        judge: says why a peer that knows the token may not come in, or None.
        is_ending: tells of a peer that left amid its handshake whether this program itself ends it: no stranger.
        tell: called with lines about connections that are refused.
    """

    def __init__(
        self,
        role: str,
        job: str,
        worker: int,
        token: bytes,
        settings: Settings,
        judge: Callable[[Hello], str | None],
        is_ending: Callable[[Hello], bool],
        tell: Callable[[str], object],
    ) -> None:
        self._self = role, job, worker
        self._token = token
        self._settings = settings
        self._judge = judge
        self._is_ending = is_ending
        self._refusals = Refusals(tell)
        self._arriving: dict[asyncio.WriteTransport, _Arrival] = {}  # the oldest first

    @property
    def strangers(self) -> int:
        """Connections that were refused so far."""
        return self._refusals.count

    async def receive(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Hello | None:
        """
        Shake hands with whoever has connected; one who may not come in is closed.

        Cancelling it ends the connection.

        Returns:
            What the peer said of itself, or None when it was refused.
        """
        transport, said = writer.transport, list[Hello]()
        hello, timeout = Hello.of(*self._self, self._settings), self._settings.handshake_timeout
        self._arriving[transport] = _Arrival(monotonic(), is_of_another_user(transport))
        self._make_room(transport)
        try:
            return await accept(reader, writer, hello, self._token, timeout, self._judge, said.append)
        except HandshakeError as error:
            # Not aborted: what refuses the peer, with the reason, is still on its way.
            writer.close()
            if transport not in self._arriving:
                self._refusals.add("too many connections are in their handshake")
            elif not (isinstance(error, HungUp) and said and self._is_ending(said[0])):
                self._refusals.add(str(error))
            return None
        except BaseException:
            transport.abort()
            raise
        finally:
            self._arriving.pop(transport, None)

    def close(self) -> None:
        """Tell what has not been told of those that were refused."""
        self._refusals.close()

    def _make_room(self, newest: asyncio.WriteTransport) -> None:
        """
        Close a connection if there are too many: one of another user, else the oldest if it has had time, else this.

        So those who connect and say nothing don't keep out who shakes hands at once.
        """
        limit, sock = file_limit(), newest.get_extra_info("socket")
        most = max(1, min(self._settings.max_unauthenticated, limit // _SHARE))
        # The kernel gives the lowest number that is free, so a high one tells that few are left.
        is_last = sock is not None and sock.fileno() >= limit - _SPARE_FILES
        if len(self._arriving) <= most and not (is_last and len(self._arriving) > 1):
            return
        victim = next((transport for transport, arrival in self._arriving.items() if arrival.is_others), newest)
        oldest = next(iter(self._arriving))
        if victim is newest and not self._arriving[newest].is_others:
            victim = oldest if monotonic() - self._arriving[oldest].time > _GRACE else newest
        del self._arriving[victim]
        victim.abort()
