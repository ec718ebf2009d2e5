"""The connection to a leader over ssh: aiodocker's, with the end of its tunnels fixed. Needs the extra ``ssh``."""

from __future__ import annotations

import asyncio
from typing import Any

from aiodocker.ssh import SSHConnector

__all__ = ["Tunnels"]

# Sessions that OpenSSH's server opens for one connection, unless its MaxSessions says otherwise; and how many
# connections to Docker are open at once, so that new ones need not wait for the ends of old ones.
_SESSIONS, _CONNECTIONS = 10, 8
_END = 2.0  # seconds that tunnels get to end when all are closed


class Tunnels(SSHConnector):
    """
    Connections to a Docker over ssh, one tunnel for each.

    aiodocker ends a tunnel by cancelling one of its two halves. When that half waits for the connection's end, as the
    tunnel itself does next, both are cancelled, which Python up to 3.11 reports as an exception never retrieved. It
    also opens any number at once, of which the server refuses those beyond its limit; here they wait.
    """

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._limit = _CONNECTIONS  # aiohttp's own, which aiodocker has no argument for
        self._sessions = asyncio.Semaphore(_SESSIONS)
        self._tunnels: set[asyncio.Task[Any]] = set()  # asyncio's server starts them, so they are in no task group

    async def _handle_docker_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._tunnels.add(task)
        try:
            async with self._sessions:
                await super()._handle_docker_connection(reader, writer)
        except asyncio.CancelledError:
            pass  # by its own half, or because the loop ends: it has nothing left to do either way
        finally:
            self._tunnels.discard(task)

    async def close(self) -> None:  # type: ignore[override]  # as aiodocker has it
        """Close all connections, and wait up to two seconds for tunnels that are still ending."""
        await super().close()
        if self._tunnels:
            await asyncio.wait(set(self._tunnels), timeout=_END)
