"""The control socket: a Unix socket beside the history of a job, for other processes of its user."""

from __future__ import annotations

import asyncio
import json
import os
import select
import socket
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from aioparcs import deadlines
from aioparcs.background import BackgroundTasks, report_unexpected
from aioparcs.runner.control.interruption import Interruption
from aioparcs.runner.control.requests import LONGEST, Request, RequestError, read_request
from aioparcs.transport import short_path

__all__ = ["ControlServer"]

_MODE = 0o600
_CREDENTIALS = struct.Struct("=3i")  # of a socket's peer: process, user, group
# Clients at once; and those that the kernel keeps waiting.
_MOST, _BACKLOG = 16, 128
_PAUSE = 1.0  # seconds until another try where a client can't be accepted


class ControlServer:
    """
    Takes one request from each connection, a line of JSON, and answers it with another one.

    Args:
        sock: the socket that it listens at.
        path: its path.
        perform: does what a request asks for, and returns a text.
    """

    def __init__(self, sock: socket.socket, path: Path, perform: Callable[[Request], Awaitable[str]]) -> None:
        self._socket = sock
        self._path = path
        self._perform = perform
        self._background = BackgroundTasks()
        self._interruption = Interruption(sock)
        self._clients = 0
        self._pause: asyncio.TimerHandle | None = None

    @classmethod
    async def open(cls, path: Path, perform: Callable[[Request], Awaitable[str]]) -> Self:
        """
        Return a server that takes requests; `aclose` follows.

        Args:
            path: the socket, which must not exist: that of another runner of the program is left alone.
            perform: does what a request asks for, and returns a text.

        Raises:
            OSError: the socket can't be created.
        """
        server = cls(_bind(path), path, perform)
        server._interruption.begin()
        await server._background.open()
        # No server of asyncio's: from Python 3.13 on that would look for the socket by the path that it was bound to.
        asyncio.get_running_loop().add_reader(server._socket, server._accept)
        return server

    async def aclose(self) -> None:
        """Remove the socket, and end its connections."""
        self._path.unlink(missing_ok=True)
        if self._pause is not None:
            self._pause.cancel()
        asyncio.get_running_loop().remove_reader(self._socket)
        self._interruption.end()
        self._socket.close()
        await self._background.aclose()

    def _accept(self) -> None:
        try:
            client, _ = self._socket.accept()
        except (BlockingIOError, ConnectionAbortedError):  # it is gone again
            return
        except OSError:  # there are too many open files, and the client still waits
            loop = asyncio.get_running_loop()
            loop.remove_reader(self._socket)
            self._pause = loop.call_later(_PAUSE, loop.add_reader, self._socket, self._accept)
            return
        client.setblocking(False)
        if not _is_own_user(client):
            client.close()
            return
        if self._clients >= _MOST:
            with client, suppress(OSError):
                client.send(b'{"error": "too many requests at once"}\n')
            return
        self._clients += 1
        self._background.start(self._serve, client)

    async def _serve(self, client: socket.socket) -> None:
        writer = None
        try:
            reader, writer = await asyncio.open_unix_connection(sock=client, limit=LONGEST)
            answer = await self._answer(reader, client)
            async with asyncio.timeout(deadlines.CONTROL_REQUEST):
                writer.write(json.dumps(answer).encode() + b"\n")
                await writer.drain()
                writer.close()
                await writer.wait_closed()
        except OSError:  # the client is gone, or doesn't read (a TimeoutError is one)
            pass
        finally:
            self._clients -= 1
            if writer:
                writer.transport.abort()
            else:
                client.close()

    async def _answer(self, reader: asyncio.StreamReader, client: socket.socket) -> dict[str, Any]:
        try:
            async with asyncio.timeout(deadlines.CONTROL_REQUEST):
                line = await reader.readline()
            if _is_gone(client):  # while the loop was busy: it believes that nothing was done
                raise ConnectionResetError
            return {"ok": True, "text": await self._perform(read_request(line))}
        except RequestError as error:
            return {"error": str(error)}
        except TimeoutError:
            return {"error": f"no request came for {deadlines.CONTROL_REQUEST:g} s"}
        except ConnectionResetError:
            raise
        except ValueError:  # of `readline`
            return {"error": f"a request has at most {LONGEST} bytes"}
        except Exception as error:
            report_unexpected(error)
            return {"error": f"{type(error).__name__}: {error}"}


def _bind(path: Path) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        with short_path(path) as name:
            sock.bind(name)
        os.chmod(path, _MODE)  # no other user can connect before either: it doesn't listen yet
        sock.listen(_BACKLOG)
    except BaseException:
        sock.close()
        raise
    return sock


def _is_gone(client: socket.socket) -> bool:
    """Return whether a client has closed its connection, and not only its own direction of it."""
    poll = select.poll()
    poll.register(client.fileno(), 0)
    return any(events & select.POLLHUP for _, events in poll.poll(0))


def _is_own_user(client: socket.socket) -> bool:
    """Return whether a client is a process of this user."""
    credentials = client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return bool(_CREDENTIALS.unpack(credentials)[1] == os.geteuid())
