"""
A bare `asyncio.Protocol` pair on uvloop, for round trips: no coroutine, no queue, no reader task.

Each side cuts its frames (8 bytes of big-endian length, then MessagePack) out of what ``data_received`` gets and
replies there and then. It is the least that asyncio can do, and it has neither backpressure nor limits nor a clean end.
"""

from __future__ import annotations

import asyncio
import struct
import time
from typing import Any

import msgpack
import uvloop

from benchmarks.peers import control
from benchmarks.peers.messages import small

_LENGTH = struct.Struct(">Q")


class Framed(asyncio.Protocol):
    """Calls ``received`` with each message."""

    def __init__(self) -> None:
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pack = msgpack.Packer().pack
        self._rest = b""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as it is on TCP
        self.transport = transport

    def connection_lost(self, error: Exception | None) -> None:
        self.ended.set_result(None)

    def data_received(self, data: bytes) -> None:
        if self._rest:
            data = self._rest + data
        position, size = 0, len(data)
        while size - position >= 8:
            end = position + 8 + _LENGTH.unpack_from(data, position)[0]
            if end > size:
                break
            self.received(msgpack.unpackb(data[position + 8 : end]))
            position = end
        self._rest = data[position:]

    def send(self, message: Any) -> None:
        body = self._pack(message)
        self.transport.write(_LENGTH.pack(len(body)) + body)

    def received(self, message: Any) -> None:
        """Send it back: the serving side."""
        self.send(message)


class Pinger(Framed):
    """The driving side: sends the next message when the last one is back."""

    async def run_round(self, count: int, check: bool) -> float:
        self._left, self._check = count, check
        self._done: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._message = small(count)
        start = time.perf_counter()
        self.send(self._message)
        return await self._done - start

    def received(self, message: Any) -> None:
        self._left -= 1
        if self._check or not self._left:
            control.expect(message == self._message, "an echo differs")
        if self._check:
            self._message = small(self._left)
        if self._left:
            self.send(self._message)
        else:
            self._done.set_result(time.perf_counter())


def _serve(mode: str) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop:
        loop.run(_serve_one())


async def _serve_one() -> None:
    accepted: asyncio.Queue[Framed] = asyncio.Queue()

    def accept() -> Framed:
        protocol = Framed()
        accepted.put_nowait(protocol)
        return protocol

    server = await asyncio.get_running_loop().create_server(accept, "127.0.0.1", 0)
    control.announce(server.sockets[0].getsockname()[1])
    await (await accepted.get()).ended
    server.close()


def _drive(mode: str, port: int) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop:

        async def dial() -> Pinger:
            return (await asyncio.get_running_loop().create_connection(Pinger, "127.0.0.1", port))[1]

        pinger = loop.run(dial())
        for count, check in control.rounds():
            control.took(loop.run(pinger.run_round(count, check)))


if __name__ == "__main__":
    control.main(_serve, _drive)
