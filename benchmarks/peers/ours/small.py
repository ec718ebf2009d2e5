"""Small messages over an aioparcs channel: ``echo`` (there and back) and ``rate`` (one way)."""

from __future__ import annotations

import time

from aioparcs import Channel
from benchmarks.peers import control
from benchmarks.peers.messages import REAL, TEXT, small, small_answer
from benchmarks.peers.ours import link


async def _echo(channel: Channel) -> None:
    async for message in channel:
        await channel.send(message)


async def _run_echo(channel: Channel, count: int, check: bool) -> float:
    if check:
        for number in range(count):
            await channel.send(small(number))
            control.expect(await channel.recv() == small(number), "an echo differs")
    message = answer = small(count)
    start = time.perf_counter()
    for _ in range(count):
        await channel.send(message)
        answer = await channel.recv()
    seconds = time.perf_counter() - start
    control.expect(answer == message, "an echo differs")
    return seconds


async def _sink(channel: Channel) -> None:
    async for count, check in channel:
        await channel.send("go")
        if check:
            await channel.send([await channel.recv() for _ in range(count)])
            continue
        total = 0
        for _ in range(count):
            number, text, real = await channel.recv()
            if text != TEXT or real != REAL:
                raise control.WrongMessage(text, real)
            total += number
        await channel.send(total)


async def _run_rate(channel: Channel, count: int, check: bool) -> float:
    await channel.send([count, check])
    await channel.recv()
    start = time.perf_counter()
    for number in range(count):
        await channel.send(small(number))
    answer = await channel.recv()
    seconds = time.perf_counter() - start
    control.expect(answer == small_answer(count, check), "the messages received are not those sent")
    return seconds


def _serve(mode: str) -> None:
    link.serve(_echo if mode == "echo" else _sink)


def _drive(mode: str, port: int) -> None:
    link.drive(port, _run_echo if mode == "echo" else _run_rate)


if __name__ == "__main__":
    control.main(_serve, _drive)
