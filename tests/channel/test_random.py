"""Random conversations over every kind of connection: sizes, buffers, cancellations and calls in any order."""

import asyncio
import random
from collections.abc import Coroutine
from typing import Any

import numpy as np
import pytest

from aioparcs import Channel, EndOfChannel, ParcsError, Settings
from aioparcs.channel.connection import RECEIVING
from aioparcs.settings import KIB, MIB
from tests.support.channels import FEW_KINDS, pair
from tests.support.waiting import PATIENCE

pytestmark = [FEW_KINDS, pytest.mark.slow]

SENDERS, MESSAGES = 3, 60
SIZES = [0, 1, 100, 8191, 8192, 60_000, 200_000, 1_200_000]


class Chance(random.Random):
    """Draws messages, and cancels what it feels like."""

    def settings(self) -> Settings:
        queues = [1, 20 * KIB, 1 * MIB]
        return Settings(
            send_queue=self.choice(queues), receive_queue=self.choice(queues), receive_budget=self.choice([1, 2 * MIB])
        )

    def message(self, sender: int, number: int) -> Any:
        size, stamp = self.choice(SIZES), bytes([sender, number])
        data = stamp + bytes([number]) * size
        array = np.frombuffer(bytearray(data), "u1")
        return self.choice(
            [["plain", sender, number, "x" * min(size, 5000)], data, bytearray(data), array, {"parts": [array, data]}]
        )

    async def perhaps(self, operation: Coroutine[Any, Any, Any]) -> tuple[bool, Any]:
        """Await an operation, or cancel it some time after; returns whether it ended, and its result."""
        task = asyncio.ensure_future(operation)
        if self.random() < 0.3:
            for _ in range(self.choice([0, 1, 1, 2, 5])):
                await asyncio.sleep(0)
            task.cancel()
        await asyncio.wait([task])
        return not task.cancelled(), None if task.cancelled() else task.result()


def stamp(message: Any) -> tuple[int, int]:
    """Tell who sent a message as which of his, and make sure that all of it is his."""
    if isinstance(message, list):
        return message[1], message[2]
    if isinstance(message, dict):
        first, second = (stamp(part) for part in message["parts"])
        assert first == second
        return first
    data = bytes(message)
    assert data.count(data[1], 2) == len(data) - 2, "a message with bytes of another"
    return data[0], data[1]


def spoil(message: Any) -> None:
    """Change what may be changed once it was sent."""
    if isinstance(message, bytearray):
        message[:] = bytes(len(message))
    elif isinstance(message, np.ndarray):
        message[:] = 0
    elif isinstance(message, dict):
        spoil(message["parts"][0])


async def send(channel: Channel, chance: Chance, sender: int) -> set[int]:
    """Send numbered messages; returns the numbers of those that must arrive."""
    sure = set()
    for number in range(MESSAGES):
        message = chance.message(sender, number)
        ended, _ = await chance.perhaps(channel.send(message))
        if ended:
            sure.add(number)
        spoil(message)
    return sure


async def call(channel: Channel, chance: Chance) -> None:
    for i in range(20):
        try:
            ended, _ = await chance.perhaps(channel.call("f", i, b"x" * chance.choice(SIZES)))
        except LookupError:  # the only answer, if it was not cancelled
            continue
        assert not ended


async def receive(channel: Channel, chance: Chance) -> list[tuple[int, int]]:
    """Receive until the end, in every way; returns the stamps in the order in which they came."""
    got: list[tuple[int, int]] = []
    buffer = bytearray(2 * MIB)
    while True:
        try:
            if chance.random() < 0.5:
                ended, message = await chance.perhaps(channel.recv())
            else:
                try:
                    ended, count = await chance.perhaps(channel.recv_into(buffer))
                    message = bytes(buffer[:count]) if ended else None
                except TypeError:
                    ended, message = True, await channel.recv()
                buffer[:100] = bytes(100)
        except EndOfChannel:
            return got
        if ended:
            got.append(stamp(message))


async def converse(
    channel: Channel, chance: Chance, done: asyncio.Barrier
) -> tuple[list[set[int]], list[tuple[int, int]]]:
    receiving = asyncio.ensure_future(receive(channel, chance))
    calling = asyncio.ensure_future(call(channel, chance))
    sure = await asyncio.gather(*(send(channel, chance, i) for i in range(SENDERS)))
    await calling
    await done.wait()  # nobody can answer the calls of one who ends before
    await channel.send_eof()
    return sure, await receiving


def check(sure: list[set[int]], got: list[tuple[int, int]]) -> None:
    for sender in range(SENDERS):
        numbers = [number for who, number in got if who == sender]
        assert numbers == sorted(set(numbers)), "out of order, or twice"
        assert sure[sender] <= set(numbers), "lost"


@pytest.mark.parametrize("seed", range(3))
async def test_whatever_is_accepted_arrives_once_in_order_and_unharmed(kind: str, seed: int) -> None:
    chance = Chance(seed)
    held = RECEIVING.reserved
    async with pair(kind, chance.settings()) as (here, there), asyncio.timeout(60):
        done = asyncio.Barrier(2)
        one, other = await asyncio.gather(converse(here, chance, done), converse(there, chance, done))
        check(one[0], other[1])
        check(other[0], one[1])
        assert here.statistics().bytes_unread == there.statistics().bytes_unread == 0
    assert RECEIVING.reserved == held


async def end(channel: Channel, chance: Chance) -> None:
    """End a channel in one of the ways that there are."""
    match chance.choice(["aclose", "at once", "abort", "broken", "cancelled"]):
        case "aclose":
            await channel.aclose()
        case "at once":
            await channel.aclose(0)
        case "abort":
            channel.abort()
        case "broken":
            channel.connection.transport.abort()
        case "cancelled":
            closing = asyncio.ensure_future(channel.aclose())
            for _ in range(chance.randrange(1, 10)):
                await asyncio.sleep(0)
            closing.cancel()
            await asyncio.wait([closing])


@pytest.mark.parametrize("seed", range(6))
async def test_no_operation_waits_for_ever_however_the_channel_ends(kind: str, seed: int) -> None:
    chance = Chance(seed)
    async with pair(kind, chance.settings()._replace(close_timeout=0.2)) as (here, there):
        tasks = [
            asyncio.ensure_future(operation)
            for channel in (here, there)
            for operation in (
                receive(channel, chance),
                call(channel, chance),
                *(send(channel, chance, i) for i in range(2)),
            )
        ]
        for _ in range(chance.randrange(200)):
            await asyncio.sleep(0)
        await end(chance.choice([here, there]), chance)
        _, waiting = await asyncio.wait(tasks, timeout=PATIENCE)
        assert not waiting
        errors = [task.exception() for task in tasks]
        assert all(error is None or isinstance(error, ParcsError) for error in errors), errors
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(here.aclose(), there.aclose())
    assert RECEIVING.reserved == 0
