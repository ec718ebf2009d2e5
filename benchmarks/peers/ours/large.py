"""Large messages one way over an aioparcs channel: as ``bytes`` or as an ``array``."""

from __future__ import annotations

import time
from functools import partial

from aioparcs import Channel
from benchmarks.peers import control
from benchmarks.peers.messages import BULK, Array, large, large_answer
from benchmarks.peers.ours import link


async def _sink(channel: Channel) -> None:
    async for count, check in channel:
        await channel.send("go")
        await channel.send([large_answer(await channel.recv(), check) for _ in range(count)])


async def _run_round(message: bytes | Array, channel: Channel, count: int, check: bool) -> float:
    await channel.send([count, check])
    await channel.recv()
    start = time.perf_counter()
    for _ in range(count):
        await channel.send(message)
    answers = await channel.recv()
    seconds = time.perf_counter() - start
    control.expect(answers == [large_answer(message, check)] * count, "a large message differs")
    return seconds


def _serve(mode: str) -> None:
    link.serve(_sink)


def _drive(mode: str, port: int) -> None:
    array = large(BULK)
    link.drive(port, partial(_run_round, array if mode == "array" else array.tobytes()))


if __name__ == "__main__":
    control.main(_serve, _drive)
