"""Streams of asyncio on uvloop: a ``write`` and a ``drain``, and two ``readexactly``."""

from __future__ import annotations

import asyncio

import uvloop

from benchmarks.peers import control
from benchmarks.peers.echoes import rounds

_Pair = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _send(writer: asyncio.StreamWriter, message: bytes) -> None:
    writer.writelines([len(message).to_bytes(8, "big"), message])
    await writer.drain()


async def _recv(reader: asyncio.StreamReader) -> bytes:
    return await reader.readexactly(int.from_bytes(await reader.readexactly(8), "big"))


async def _serve_one() -> None:
    accepted: asyncio.Queue[_Pair] = asyncio.Queue()
    server = await asyncio.start_server(lambda *pair: accepted.put_nowait(pair), "127.0.0.1", 0)
    control.announce(server.sockets[0].getsockname()[1])
    reader, writer = await accepted.get()
    try:
        while True:
            await _send(writer, await _recv(reader))
    except asyncio.IncompleteReadError:
        writer.close()
    server.close()


async def _drive_one(mode: str, port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    async def exchange(message: bytes) -> bytes:
        await _send(writer, message)
        return await _recv(reader)

    await rounds.drive_async(mode, exchange)
    writer.close()


def _serve(mode: str) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop:
        loop.run(_serve_one())


def _drive(mode: str, port: int) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop:
        loop.run(_drive_one(mode, port))


if __name__ == "__main__":
    control.main(_serve, _drive)
