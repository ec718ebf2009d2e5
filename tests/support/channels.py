"""Two connected channels of any kind, and what the tests of channels do with them."""

import asyncio
import socket
from collections.abc import AsyncIterator, Coroutine, Generator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from aioparcs import Address, Channel, Settings
from aioparcs.settings import KIB
from aioparcs.testing import Network, memory_pair
from aioparcs.transport import dial, listen

__all__ = [
    "FEW_KINDS",
    "KINDS",
    "SMALL",
    "CancelAt",
    "Pair",
    "Streams",
    "at_once",
    "block",
    "both",
    "jam",
    "network",
    "pair",
    "stop_reading",
    "streams",
    "waits",
]

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Pair = tuple[Channel, Channel]

KINDS = pytest.mark.parametrize("kind", ["tcp", "unix", "tls", "memory"])
# For what lies above the transports, where a Unix socket is no more than another TCP one.
FEW_KINDS = pytest.mark.parametrize("kind", ["tcp", "tls", "memory"])

# Queues that fill fast; the kernel's own add some MiB on a socket.
SMALL = Settings(send_queue=64 * KIB, receive_queue=64 * KIB)

_ADDRESSES = {"tcp": Address("tcp", "127.0.0.1"), "unix": Address("unix", "@"), "tls": Address("tcp", "127.0.0.1")}
_KERNEL = 512 * KIB
# Seconds until a sender that waits counts as stuck. TCP's persist timer, 0.2 s, still moves bytes that fit no segment.
_STUCK = {"tcp": 0.25, "tls": 0.25, "unix": 0.03, "memory": 0.03}


@asynccontextmanager
async def streams(kind: str) -> AsyncIterator[tuple[Streams, Streams]]:
    """Open a connection of a kind as two pairs of streams; the first dialled."""
    if kind == "memory":
        here, there, _ = memory_pair()
        listener = None
    else:
        accepted: asyncio.Future[Streams] = asyncio.get_running_loop().create_future()

        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            accepted.set_result((reader, writer))

        listener = await listen(_ADDRESSES[kind], accept, tls=kind == "tls")
        here = await dial(listener.address)
        there = await accepted
    try:
        for _, writer in (here, there):
            _narrow(writer)
        yield here, there
    finally:
        for _, writer in (here, there):
            if not writer.transport.is_closing():  # asyncio's own fails to abort one that has ended
                writer.transport.abort()
        if listener:
            await listener.aclose()


def _narrow(writer: asyncio.StreamWriter) -> None:
    """Fix the kernel's buffers, which otherwise grow for as long as the peer doesn't read."""
    sock = writer.get_extra_info("socket")
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _KERNEL)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _KERNEL)


@asynccontextmanager
async def pair(kind: str, settings: Settings | None = None, *, version: int = 2) -> AsyncIterator[Pair]:
    """Open two connected channels of a kind."""
    async with streams(kind) as (here, there):
        async with both(*(Channel(*ends, settings=settings, version=version) for ends in (here, there))) as channels:
            yield channels


@asynccontextmanager
async def network(
    settings: Settings | None = None, *, version: int = 2
) -> AsyncIterator[tuple[Channel, Channel, Network]]:
    """Open two channels in memory, with the network between them in hand."""
    first, second, net = memory_pair()
    async with both(*(Channel(*ends, settings=settings, version=version) for ends in (first, second))) as channels:
        yield *channels, net


@asynccontextmanager
async def both(here: Channel, there: Channel) -> AsyncIterator[Pair]:
    """End both channels abruptly, however the test ended."""
    try:
        yield here, there
    finally:
        here.abort()
        there.abort()
        await asyncio.gather(here.aclose(), there.aclose())


async def waits(task: "asyncio.Task[Any]") -> None:
    """Check that a task waits and goes on waiting, also after some real time."""
    await asyncio.wait([task], timeout=0.02)
    assert not task.done(), f"it doesn't wait: {task!r}"


def at_once(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine that must not wait."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    coroutine.close()
    pytest.fail("it waits")


async def jam(channel: Channel, kind: str) -> list[list[Any]]:
    """Send to a peer that doesn't read until there is no more room; returns what was sent."""
    sent: list[list[Any]] = []
    while True:
        message = [len(sent), "x" * 4000 if len(sent) % 8 else b"y" * 30_000]
        task = asyncio.ensure_future(channel.send(message))
        done, _ = await asyncio.wait([task], timeout=_STUCK[kind])
        if not done:
            task.cancel()
            await asyncio.wait([task])
            return sent
        task.result()
        sent.append(message)


async def stop_reading(here: Channel, there: Channel) -> int:
    """Send until the peer, whose program doesn't receive, stops reading; returns how many messages wait there."""
    count = 0
    while there.statistics().bytes_unread < SMALL.receive_queue:
        await here.send("x" * 1000)
        await asyncio.sleep(0)
        count += 1
    return count


async def block(here: Channel, there: Channel) -> list[Any]:
    """Send more than the peer, which doesn't receive, and the kernel take; returns what was sent."""
    large = b"y" * (8 << 20)
    sent = ["x" * 1000] * await stop_reading(here, there)
    await here.send(large)
    return [*sent, large]


class CancelAt:
    """
    Await a coroutine, and cancel its task at the n-th suspension.

    Late means: in the very iteration in which what it waits for has come, before the task sees it. Repeatedly means: at
    each suspension from then on, as scopes of anyio do.

    Attributes:
        reached: whether there was an n-th suspension.
    """

    def __init__(self, coroutine: Coroutine[Any, Any, Any], n: int, *, late: bool, repeatedly: bool = False) -> None:
        self.reached = False
        self._repeatedly = repeatedly
        self._coroutine = coroutine
        self._n = n
        self._late = late

    def __await__(self) -> Generator[Any, Any, Any]:
        task = asyncio.current_task()
        assert task is not None
        step, value = self._coroutine.send, None
        while True:
            try:
                waiting = step(value)
            except StopIteration as stop:
                return stop.value
            self._n -= 1
            if self._n == 0 or (self._repeatedly and self._n < 0):
                self.reached = True
                if self._late and waiting is not None:
                    waiting.add_done_callback(lambda _: task.cancel())
                else:
                    task.cancel()
            try:
                yield waiting
                step, value = self._coroutine.send, None
            except BaseException as error:
                step, value = self._coroutine.throw, error

    async def run(self) -> Any:
        """Await it in a task of its own; returns the result, or the CancelledError."""
        task = asyncio.ensure_future(self._awaited())
        await asyncio.wait([task])
        return asyncio.CancelledError() if task.cancelled() else task.result()

    async def _awaited(self) -> Any:
        return await self
