"""Accepting connections, as many as there is room for, until the listener is closed."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Awaitable, Callable
from typing import Any

from aioparcs.address import Address
from aioparcs.errors import ConnectionLost
from aioparcs.settings import Settings
from aioparcs.transport.certificates import server_context
from aioparcs.transport.files import file_limit
from aioparcs.transport.pending import PendingHandshakes
from aioparcs.transport.sockets import bind, bound_address, streams_of

__all__ = ["Listener", "listen"]

OnConnect = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

# Connections that the kernel holds until they are accepted.
_BACKLOG = 2048
# Connections that are accepted before the loop turns.
_TURN = 16
# Connections that are closed at once, as those that are refused: after how many of them accepting slows down, to how
# many a second, and to how many before the loop turns. What is beyond that waits in the kernel, where it costs this
# process nothing, and no message waits for it.
_MANY, _SLOW, _FEW = 100, 400.0, 4
# Descriptors of which only one in a turn is taken: a high number means that few are left.
_LAST = 64
# Seconds without accepting when there is no descriptor, or no memory, for a connection.
_PAUSE = 0.1
# Seconds between two reports of that.
_SILENCE = 10.0
_OUT_OF_RESOURCES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
# TLS handshakes at once, and the part of all open files that they may be.
_MOST_TLS, _SHARE = 1024, 8


class _LeakyBucket:
    """A count from which `_SLOW` leak in a second."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._level = 0.0
        self._since = 0.0

    @property
    def level(self) -> float:
        """What is left of it."""
        return max(0.0, self._level - (self._loop.time() - self._since) * _SLOW)

    def add(self) -> None:
        """Add one."""
        self._level, self._since = self.level + 1, self._loop.time()


class Listener:
    """
    A socket that accepts connections until it is closed.

    Args:
        address: where to dial it.
        sock: the socket, which listens.
        on_connect: called with each connection.
        tls: the options of `connect_accepted_socket` for TLS; none without.

    Attributes:
        address: where to dial it, with the chosen port and the certificate's fingerprint.
    """

    def __init__(self, address: Address, sock: socket.socket, on_connect: OnConnect, tls: dict[str, Any]) -> None:
        self.address = address
        self._sock = sock
        self._on_connect = on_connect
        self._tls = tls
        self._loop = asyncio.get_running_loop()
        # Not in a task group: a listener is open beyond any block, and `close` cancels them without waiting.
        self._tasks: set[asyncio.Task[None]] = set()
        self._accepted: dict[asyncio.Task[None], socket.socket] = {}  # those whose task has not begun
        self._in_tls: PendingHandshakes[asyncio.Task[None]] = PendingHandshakes()
        self._pause: asyncio.TimerHandle | None = None
        self._next_report = 0.0
        self._closed = _LeakyBucket(self._loop)
        self._loop.add_reader(sock, self._accept)

    async def aclose(self) -> None:
        """Stop accepting, and cancel the connections that ``on_connect`` is still busy with."""
        self.close()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def close(self) -> None:
        """Close as `aclose` does, without waiting for those connections to end."""
        if self._sock.fileno() >= 0:
            self._loop.remove_reader(self._sock)
            self._sock.close()
        if self._pause:
            self._pause.cancel()
        for task in self._tasks:
            task.cancel()

    def _accept(self) -> None:
        """Accept the connections that wait. asyncio's own loop doesn't stop without descriptors: it logs each try."""
        excess = self._closed.level - _MANY
        if excess > 0:
            self._suspend((excess + _FEW) / _SLOW)
            return
        for _ in range(_FEW if excess > -_MANY / 2 else _TURN):
            try:
                sock, _ = self._sock.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in _OUT_OF_RESOURCES:
                    self._wait(error)
                    return
                continue  # that one has gone already
            sock.setblocking(False)
            task = self._loop.create_task(self._serve(sock))
            self._tasks.add(task)
            self._accepted[task] = sock
            task.add_done_callback(self._done)
            if sock.fileno() >= file_limit() - _LAST:
                return  # the task that takes it may close others

    def _wait(self, error: OSError) -> None:
        """Pause accepting for a moment, when descriptors or memory run out, and report it now and then."""
        self._suspend(_PAUSE)
        if self._loop.time() >= self._next_report:
            self._next_report = self._loop.time() + _SILENCE
            message = f"no connection to {self.address} can be accepted until some are closed: {error.strerror}"
            self._loop.call_exception_handler({"message": message})

    def _suspend(self, seconds: float) -> None:
        self._loop.remove_reader(self._sock)
        self._pause = self._loop.call_later(seconds, self._loop.add_reader, self._sock, self._accept)

    async def _serve(self, sock: socket.socket) -> None:
        task = asyncio.current_task()
        assert task
        del self._accepted[task]
        try:
            reader, writer = await (self._shake(task, sock) if self._tls else streams_of(sock))
        except OSError:  # it has gone already, or its TLS handshake failed: ssl.SSLError is one
            self._closed.add()
            return
        try:
            await self._on_connect(reader, writer)
            if writer.transport.is_closing():
                self._closed.add()
        except asyncio.CancelledError:
            writer.transport.abort()
            raise

    async def _shake(
        self, task: asyncio.Task[None], sock: socket.socket
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Return the connection's streams after its TLS handshake; when too many are under way, one is closed."""
        victim = self._in_tls.add(task, min(_MOST_TLS, file_limit() // _SHARE))
        if victim is task:
            sock.close()
            raise ConnectionAbortedError
        if victim:
            victim.cancel()
        try:
            return await streams_of(sock, **self._tls)
        finally:
            self._in_tls.discard(task)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if sock := self._accepted.pop(task, None):  # cancelled before its first step
            sock.close()


async def listen(
    address: Address,
    on_connect: OnConnect,
    *,
    tls: bool = False,
    handshake_timeout: float = Settings().handshake_timeout,
) -> Listener:
    """
    Listen, and run ``on_connect(reader, writer)`` in a task of its own for each connection.

    Args:
        address: where; port 0 chooses one, ``Address("unix", "@")`` chooses an abstract name.
        on_connect: it owns the connection from then on; being cancelled ends the connection.
        tls: make a certificate and speak TLS (needs the extra ``aioparcs[tls]``).
        handshake_timeout: seconds that a TLS handshake may take.

    Raises:
        ConnectionLost: the address is taken, or not this machine's.
        SettingError: TLS was requested and ``cryptography`` is not installed.
    """
    context, fingerprint = server_context() if tls else (None, "")
    options: dict[str, Any] = {"ssl": context, "ssl_handshake_timeout": handshake_timeout} if context else {}
    try:
        sock = bind(address)
    except OSError as error:
        raise ConnectionLost(f"can't listen on {address}: {error.strerror or error}") from error
    try:
        sock.setblocking(False)
        sock.listen(_BACKLOG)
    except OSError as error:
        sock.close()
        raise ConnectionLost(f"can't listen on {address}: {error.strerror or error}") from error
    return Listener(bound_address(address, sock, fingerprint), sock, on_connect, options)
