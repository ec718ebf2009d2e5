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
from tests.support.deep import deep, repeats
from tests.support.waiting import PATIENCE

pytestmark = [FEW_KINDS, deep, pytest.mark.slow]

SENDERS, MESSAGES = 3, 60
SIZES = [0, 1, 100, 8191, 8192, 60_000, 200_000, 1_200_000]


class RandomOperations(random.Random):
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

    async def maybe_cancel(self, operation: Coroutine[Any, Any, Any]) -> tuple[bool, Any]:
        """Await an operation, or cancel it some time after; returns whether it ended, and its result."""
        task = asyncio.ensure_future(operation)
        if self.random() < 0.3:
            for _ in range(self.choice([0, 1, 1, 2, 5])):
                await asyncio.sleep(0)
            task.cancel()
        await asyncio.wait([task])
        return not task.cancelled(), None if task.cancelled() else task.result()


def stamp(message: Any) -> tuple[int, int]:
    """Return a message's sender and its number, after a check that all of its bytes are that sender's."""
    if isinstance(message, list):
        return message[1], message[2]
    if isinstance(message, dict):
        first, second = (stamp(part) for part in message["parts"])
        assert first == second
        return first
    data = bytes(message)
    assert data.count(data[1], 2) == len(data) - 2, "a message with bytes of another"
    return data[0], data[1]


def overwrite(message: Any) -> None:
    """Change what may be changed once it was sent."""
    if isinstance(message, bytearray):
        message[:] = bytes(len(message))
    elif isinstance(message, np.ndarray):
        message[:] = 0
    elif isinstance(message, dict):
        overwrite(message["parts"][0])


async def send(channel: Channel, rng: RandomOperations, sender: int) -> set[int]:
    """Send numbered messages; returns the numbers of those that must arrive."""
    sure = set()
    for number in range(MESSAGES):
        message = rng.message(sender, number)
        ended, _ = await rng.maybe_cancel(channel.send(message))
        if ended:
            sure.add(number)
        overwrite(message)
    return sure


async def call(channel: Channel, rng: RandomOperations) -> None:
    for i in range(20):
        try:
            ended, _ = await rng.maybe_cancel(channel.call("f", i, b"x" * rng.choice(SIZES)))
        except LookupError:  # the only answer, if it was not cancelled
            continue
        assert not ended


async def receive(channel: Channel, rng: RandomOperations) -> list[tuple[int, int]]:
    """Receive until the end, in every way; returns the stamps in the order in which they came."""
    got: list[tuple[int, int]] = []
    buffer = bytearray(2 * MIB)
    while True:
        try:
            if rng.random() < 0.5:
                ended, message = await rng.maybe_cancel(channel.recv())
            else:
                try:
                    ended, count = await rng.maybe_cancel(channel.recv_into(buffer))
                    message = bytes(buffer[:count]) if ended else None
                except TypeError:
                    ended, message = True, await channel.recv()
                buffer[:100] = bytes(100)
        except EndOfChannel:
            return got
        if ended:
            got.append(stamp(message))


async def exchange(
    channel: Channel, rng: RandomOperations, done: asyncio.Barrier
) -> tuple[list[set[int]], list[tuple[int, int]]]:
    receiving = asyncio.ensure_future(receive(channel, rng))
    calling = asyncio.ensure_future(call(channel, rng))
    sure = await asyncio.gather(*(send(channel, rng, i) for i in range(SENDERS)))
    await calling
    await done.wait()  # the calls of an end that closes before can't be answered
    await channel.send_eof()
    return sure, await receiving


def check(sure: list[set[int]], got: list[tuple[int, int]]) -> None:
    for sender in range(SENDERS):
        numbers = [number for who, number in got if who == sender]
        assert numbers == sorted(set(numbers)), "out of order, or twice"
        assert sure[sender] <= set(numbers), "lost"


@pytest.mark.parametrize("seed", range(repeats(1, 3)))
async def test_accepted_messages_arrive_once_in_order_and_unchanged(kind: str, seed: int) -> None:
    rng = RandomOperations(seed)
    held = RECEIVING.reserved
    async with pair(kind, rng.settings()) as (here, there), asyncio.timeout(60):
        done = asyncio.Barrier(2)
        one, other = await asyncio.gather(exchange(here, rng, done), exchange(there, rng, done))
        check(one[0], other[1])
        check(other[0], one[1])
        assert here.statistics().bytes_unread == there.statistics().bytes_unread == 0
    assert RECEIVING.reserved == held


async def end(channel: Channel, rng: RandomOperations) -> None:
    """End a channel in one of the ways that there are."""
    match rng.choice(["aclose", "at once", "abort", "broken", "cancelled"]):
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
            for _ in range(rng.randrange(1, 10)):
                await asyncio.sleep(0)
            closing.cancel()
            await asyncio.wait([closing])


@pytest.mark.parametrize("seed", range(repeats(2, 6)))
async def test_no_operation_waits_forever_however_the_channel_ends(kind: str, seed: int) -> None:
    rng = RandomOperations(seed)
    async with pair(kind, rng.settings()._replace(close_timeout=0.2)) as (here, there):
        tasks = [
            asyncio.ensure_future(operation)
            for channel in (here, there)
            for operation in (
                receive(channel, rng),
                call(channel, rng),
                *(send(channel, rng, i) for i in range(2)),
            )
        ]
        for _ in range(rng.randrange(200)):
            await asyncio.sleep(0)
        await end(rng.choice([here, there]), rng)
        _, waiting = await asyncio.wait(tasks, timeout=PATIENCE)
        assert not waiting
        errors = [task.exception() for task in tasks]
        assert all(error is None or isinstance(error, ParcsError) for error in errors), errors
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(here.aclose(), there.aclose())
    assert RECEIVING.reserved == 0
