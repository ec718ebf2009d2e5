"""The web page's server as a target: bytes of anyone who can connect, over a real connection."""

from __future__ import annotations

import asyncio
import atexit
import os
from contextlib import AsyncExitStack
from tempfile import TemporaryDirectory

from aioparcs.web.http.listening import listen
from aioparcs.web.server import open_server

__all__ = ["page"]

_TOKEN = "the-token-of-the-fuzzer"
_PATIENCE = 5.0  # seconds after which the server hangs


class _Server:
    """A server that is open until the process ends."""

    def __init__(self) -> None:
        self._folder = TemporaryDirectory(prefix="aioparcs-fuzz-")
        os.environ["XDG_STATE_HOME"] = self._folder.name
        self._loop = asyncio.new_event_loop()
        self._stack = AsyncExitStack()
        self.lines: list[str] = []
        listening = listen(port=0)
        self._port = listening.socket.getsockname()[1]
        opening = self._stack.enter_async_context(
            open_server(listening, _TOKEN, has_control=True, log=self.lines.append)
        )
        self._loop.run_until_complete(opening)
        atexit.register(self.close)

    def close(self) -> None:
        """End it."""
        self._loop.run_until_complete(self._stack.aclose())
        self._loop.close()
        self._folder.cleanup()

    def ask(self, data: bytes) -> bytes:
        """Return what comes back for these bytes."""
        return self._loop.run_until_complete(self._ask(data))

    async def _ask(self, data: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            writer.write(data.replace(b"PORT", str(self._port).encode()))
            writer.write_eof()
            async with asyncio.timeout(_PATIENCE):
                return await reader.read(1 << 20)
        except ConnectionError:
            return b""  # it was refused before all of it was read
        finally:
            writer.close()


_servers: list[_Server] = []


def page(data: bytes) -> None:
    """Ask the page's server: it answers or closes, with no error of its own, and tells who has no token nothing."""
    if _TOKEN.encode() in data:
        return
    if not _servers:
        _servers.append(_Server())
    (server,) = _servers
    answer = server.ask(data)
    assert not server.lines, server.lines
    assert b" 500 " not in answer.split(b"\r\n", 1)[0], answer
    assert _TOKEN.encode() not in answer, answer
    assert b'"jobs"' not in answer, answer
