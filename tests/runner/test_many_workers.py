"""A runner with a thousand workers, which a few processes simulate; see `benchmarks.simulation`."""

import asyncio
from contextlib import suppress

import pytest

from aioparcs import Runner, Settings, Task, gather
from aioparcs.channel.connection import RECEIVING
from benchmarks.simulation import SimulatedEngine
from tests.support.waiting import until

pytestmark = [pytest.mark.anyio, pytest.mark.one_loop]

_MIB = 1 << 20


async def _ask(task: Task) -> None:
    await task.send(["hello", task.worker])
    assert await task.recv() == ["hello", task.worker]


@pytest.mark.slow
async def test_a_thousand_workers_answer_beside_a_slow_reader_and_end() -> None:
    settings = Settings(receive_budget=16 * _MIB, start_timeout=300, handshake_timeout=60, close_timeout=100)
    async with Runner(engine=SimulatedEngine(2, 20), settings=settings) as runner:
        tasks = await runner.start_many("simulated", 1000)
        assert [task.rank for task in tasks] == list(range(1000))

        slow, *others = tasks
        await slow.send("pause")
        sending = asyncio.create_task(slow.send(bytearray(64 * _MIB)))
        await asyncio.gather(*map(_ask, others))
        assert await asyncio.gather(*(task.call("any", task.rank) for task in others)) == list(range(1, 1000))
        assert not sending.done()
        sending.cancel()
        with suppress(asyncio.CancelledError):
            await sending
        await slow.kill()

        large, most = others[:200], 0
        for task in large:
            await task.send(["return", _MIB])
        await until(lambda: RECEIVING.reserved == 16 * _MIB)
        for task in large:
            assert len(await task.recv()) == _MIB
            most = max(most, RECEIVING.reserved)
        assert most <= 17 * _MIB  # the one that is received passes always
        assert RECEIVING.reserved == 0

        await asyncio.gather(*(task.kill() for task in others[:500]))
        for task in others[500:]:
            await task.send(task.rank)
        assert await gather(others[500:]) == list(range(501, 1000))
    assert {task.state for task in tasks} == {"gone"}


@pytest.mark.slow
async def test_workers_that_are_started_one_by_one_have_a_launcher_each() -> None:
    settings = Settings(start_timeout=300, handshake_timeout=60, close_timeout=100)
    async with Runner(engine=SimulatedEngine(2, 1), settings=settings) as runner:
        tasks = await asyncio.gather(*(runner.start("simulated") for _ in range(200)))
        assert len({task.launcher for task in tasks}) == 200
        await asyncio.gather(*map(_ask, tasks))
