"""
Asyncio streams on uvloop with MessagePack, written by hand as the manual shows it, for small messages one way.

Each message is one ``write`` and one ``drain``, so that a slow reader slows the writer; the reader takes the
8 bytes of length and then the body with ``readexactly``.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

import msgpack
import uvloop

from benchmarks.peers import control
from benchmarks.peers.messages import REAL, TEXT, small, small_answer


class Stream:
    """Messages over a pair of streams."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._pack = msgpack.Packer().pack

    async def send(self, message: Any) -> None:
        body = self._pack(message)
        self._writer.write(len(body).to_bytes(8, "big") + body)
        await self._writer.drain()

    async def recv(self) -> Any:
        size = int.from_bytes(await self._reader.readexactly(8), "big")
        return msgpack.unpackb(await self._reader.readexactly(size))


async def _sink(stream: Stream) -> None:
    while True:
        count, check = await stream.recv()
        await stream.send("go")
        if check:
            await stream.send([await stream.recv() for _ in range(count)])
            continue
        total = 0
        for _ in range(count):
            number, text, real = await stream.recv()
            if text != TEXT or real != REAL:
                raise control.WrongMessage(text, real)
            total += number
        await stream.send(total)


async def _run_round(stream: Stream, count: int, check: bool) -> float:
    await stream.send([count, check])
    await stream.recv()
    start = time.perf_counter()
    for number in range(count):
        await stream.send(small(number))
    answer = await stream.recv()
    seconds = time.perf_counter() - start
    control.expect(answer == small_answer(count, check), "the messages received are not those sent")
    return seconds


def _serve(mode: str) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop:
        loop.run(_serve_one())


async def _serve_one() -> None:
    accepted: asyncio.Queue[Stream] = asyncio.Queue()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.put_nowait(Stream(reader, writer))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    control.announce(server.sockets[0].getsockname()[1])
    try:
        await _sink(await accepted.get())
    except asyncio.IncompleteReadError as end:
        if end.partial:
            raise
    server.close()


def _drive(mode: str, port: int) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop:

        async def dial() -> Stream:
            return Stream(*await asyncio.open_connection("127.0.0.1", port))

        stream = loop.run(dial())
        for count, check in control.rounds():
            control.took(loop.run(_run_round(stream, count, check)))


if __name__ == "__main__":
    control.main(_serve, _drive)
