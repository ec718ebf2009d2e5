"""What a listener does with whoever connects: those who belong to the job shake hands, the others are closed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from aioparcs.auth import Hello
from aioparcs.channel.handshake import accept
from aioparcs.errors import HandshakeError
from aioparcs.settings import Settings

__all__ = ["Reception"]


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
        tell: called with one line for each connection that is refused.

    Attributes:
        strangers: connections that were refused so far.
    """

    def __init__(
        self,
        role: str,
        job: str,
        worker: int,
        token: bytes,
        settings: Settings,
        judge: Callable[[Hello], str | None],
        tell: Callable[[str], object],
    ) -> None:
        self.strangers = 0
        self._self = role, job, worker
        self._token = token
        self._settings = settings
        self._judge = judge
        self._tell = tell
        self._arriving = 0

    async def receive(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Hello | None:
        """
        Shake hands with whoever has connected; one who may not come in is closed.

        Cancelling it ends the connection.

        Returns:
            What the peer said of itself, or None when it was refused.
        """
        if self._arriving >= self._settings.max_unauthenticated:
            writer.transport.abort()
            self._refused("too many connections are in their handshake")
            return None
        self._arriving += 1
        hello, timeout = Hello.of(*self._self, self._settings), self._settings.handshake_timeout
        try:
            return await accept(reader, writer, hello, self._token, timeout, self._judge)
        except HandshakeError as error:
            # Not aborted: what refuses the peer, with the reason, is still on its way.
            writer.close()
            self._refused(str(error))
            return None
        except BaseException:
            writer.transport.abort()
            raise
        finally:
            self._arriving -= 1

    def _refused(self, reason: str) -> None:
        self.strangers += 1
        self._tell(f"refused a connection ({self.strangers} so far): {reason}")
