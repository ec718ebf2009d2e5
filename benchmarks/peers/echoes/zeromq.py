"""Sockets of ZeroMQ for asyncio (``zmq.asyncio``), a pair over TCP; large messages are sent without a copy."""

from __future__ import annotations

import asyncio
import sys

import zmq.asyncio

from benchmarks.peers import control
from benchmarks.peers.echoes import rounds


async def _serve_one() -> None:
    with zmq.asyncio.Context() as context, context.socket(zmq.PAIR) as socket:
        control.announce(socket.bind_to_random_port("tcp://127.0.0.1"))

        async def echo() -> None:
            while True:
                await socket.send(await socket.recv(), copy=False)

        echoing = asyncio.ensure_future(echo())
        await asyncio.to_thread(sys.stdin.read)
        echoing.cancel()


async def _drive_one(mode: str, port: int) -> None:
    with zmq.asyncio.Context() as context, context.socket(zmq.PAIR) as socket:
        socket.connect(f"tcp://127.0.0.1:{port}")

        async def exchange(message: bytes) -> bytes:
            await socket.send(message, copy=False)
            return await socket.recv()

        await rounds.drive_async(mode, exchange)


if __name__ == "__main__":
    control.main(lambda mode: asyncio.run(_serve_one()), lambda mode, port: asyncio.run(_drive_one(mode, port)))
