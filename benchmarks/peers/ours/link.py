"""Open one aioparcs channel between two programs, on uvloop: the serving and the driving end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine

import uvloop

from aioparcs import Address, Channel
from aioparcs.transport import dial, listen
from benchmarks.peers import control

Sink = Callable[[Channel], Awaitable[None]]
RunRound = Callable[[Channel, int, bool], Coroutine[None, None, float]]


def serve(sink: Sink) -> None:
    """Listen, give the first connection's channel to ``sink``, and end with it."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop:
        loop.run(_serve(sink))


async def _serve(sink: Sink) -> None:
    ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with Channel(reader, writer) as channel:
                await sink(channel)
            ended.set_result(None)
        except Exception as error:
            ended.set_exception(error)

    listener = await listen(Address("tcp", "127.0.0.1", 0), accept)
    control.announce(listener.address.port)
    try:
        await ended
    finally:
        await listener.aclose()


def drive(port: int, run_round: RunRound) -> None:
    """Connect, and run each round that the harness requests."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop:

        async def connect() -> Channel:
            return Channel(*await dial(Address("tcp", "127.0.0.1", port)))

        channel = loop.run(connect())
        for count, check in control.rounds():
            control.took(loop.run(run_round(channel, count, check)))
        loop.run(channel.aclose())
