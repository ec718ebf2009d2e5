"""A channel of aioparcs."""

from __future__ import annotations

import asyncio

import uvloop

from aioparcs import Address, Channel
from aioparcs.transport import dial
from benchmarks.peers import control
from benchmarks.peers.echoes import rounds
from benchmarks.peers.ours import link


async def _echo(channel: Channel) -> None:
    async for message in channel:
        await channel.send(message)


async def _drive(mode: str, port: int) -> None:
    async with Channel(*await dial(Address("tcp", "127.0.0.1", port))) as channel:

        async def exchange(message: bytes) -> bytes:
            await channel.send(message)
            return await channel.recv()  # type: ignore[no-any-return]  # it is compared

        await rounds.drive_async(mode, exchange)


def _run(mode: str, port: int) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop:
        loop.run(_drive(mode, port))


if __name__ == "__main__":
    control.main(lambda mode: link.serve(_echo), _run)
