"""The order of arrival in `Runner.recv_any`."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import pytest

from aioparcs import RemoteError, Task, WorkerLost
from tests.support.jobs import job
from tests.support.waiting import until

Arrivals = AsyncGenerator[tuple[Task, Any], None]


async def test_recv_any_yields_all_messages_and_ends() -> None:
    async with job() as runner:
        tasks = await runner.start_many("talker", 4)
        for t in tasks:
            await t.send(["echo", *range(50)])
            await t.send_eof()
        got = [(t.rank, message) async for t, message in runner.recv_any(tasks)]
        assert sorted(got) == [(rank, i) for rank in range(4) for i in range(50)]
        assert [message for rank, message in got if rank == 2] == list(range(50)), "in order of each"
        assert [item async for item in runner.recv_any(tasks)] == []
        assert [item async for item in runner.recv_any([])] == []


async def test_recv_any_is_fair_to_slow_senders() -> None:
    async with job() as runner:
        loud, quiet, last = tasks = await runner.start_many("talker", 3)
        await loud.send(["echo", *range(1000)])
        await until(lambda: loud.statistics().bytes_unread > 1000)
        await quiet.send(["echo", "quiet"])
        await last.send(["echo", "last"])
        await until(lambda: quiet.is_ready and last.is_ready)
        turns = [t async for t, _ in _first(runner.recv_any(tasks), 3)]
        assert set(turns) == set(tasks)


async def test_leaving_recv_any_early_loses_no_message() -> None:
    async with job() as runner:
        tasks = await runner.start_many("talker", 3)
        for t in tasks:
            await t.send(["echo", *range(20)])
            await t.send_eof()
        got = []
        for count in (1, 5, 2, 0, 10):
            got += [(t.rank, message) async for t, message in _first(runner.recv_any(tasks), count)]
        for t in tasks:
            got += [(t.rank, message) async for message in t]
        assert sorted(got) == [(rank, i) for rank in range(3) for i in range(20)]


async def test_cancelling_recv_any_loses_no_message() -> None:
    async with job() as runner, runner.start("talker") as t:
        waiting = asyncio.ensure_future(anext(runner.recv_any([t])))
        await asyncio.wait([waiting], timeout=0.05)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await t.send(["echo", 1])
        assert await t.recv() == 1


async def test_recv_any_waits_for_whichever_worker_sends_first() -> None:
    async with job() as runner:
        tasks = await runner.start_many("talker", 3)
        arrivals = runner.recv_any(tasks)
        for t in (tasks[1], tasks[0], tasks[1], tasks[2]):
            waiting = asyncio.ensure_future(anext(arrivals))
            await asyncio.sleep(0)
            await t.send(["echo", t.rank])
            assert await waiting == (t, t.rank)
        await arrivals.aclose()


async def test_an_error_names_the_worker_and_the_others_go_on() -> None:
    async with job() as runner:
        tasks = await runner.start_many("talker", 3)
        await tasks[1].send(["fail", "ValueError", "why"])
        with pytest.raises(RemoteError, match="ValueError in worker talker:1: why"):
            await anext(runner.recv_any(tasks))
        await tasks[2].send(["die", 9])
        rest = [tasks[0], tasks[2]]
        with pytest.raises(WorkerLost, match="talker:2 was killed by SIGKILL"):
            await anext(runner.recv_any(rest))
        await tasks[0].send(["echo", 1])
        assert await anext(runner.recv_any(tasks[:1])) == (tasks[0], 1)


async def _first(arrivals: Arrivals, count: int) -> Arrivals:
    """Return the first few arrivals, and leave the rest."""
    async with aclosing(arrivals):
        while count and (item := await anext(arrivals, None)):
            yield item
            count -= 1
