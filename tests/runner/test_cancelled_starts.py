"""Cancellation at every await of starting workers and of leaving them: no process, task or descriptor is left."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import psutil
import pytest

from aioparcs import Runner, deadlines
from tests.support.channels import CancelAt
from tests.support.jobs import EventRecorder, family, job, module
from tests.support.waiting import PATIENCE, until

pytestmark = pytest.mark.one_loop

# More awaits than any operation reaches: the loops below must end by themselves.
_MOST = 40
EVERY_WAY = pytest.mark.parametrize(
    "way",
    [{"late": False}, {"late": True}, {"late": False, "repeatedly": True}],
    ids=["early", "late", "repeatedly"],
)


async def start(runner: Runner) -> None:
    async with runner.start("functions") as t:
        await t.call("add", 1)


async def start_many(runner: Runner) -> None:
    async with runner.start_many("functions", 3) as tasks:
        await asyncio.gather(*(t.call("add", 1) for t in tasks))


async def start_enough(runner: Runner) -> None:
    async with runner.start_many("functions", 3, min_workers=1) as tasks:
        await tasks[0].call("add", 1)


async def iterate(runner: Runner) -> None:
    async for t in runner.start_many("functions", 3):
        await t.shutdown()


async def fill(runner: Runner) -> None:
    async with runner.pool("functions", 2) as pool:
        assert await pool.map([1, 2, 3], function="add") == [2, 3, 4]
        await pool.resize(3)


# Its launcher has reported what it has loaded, and doesn't dial for long.
SLOW = """
import time
import aioparcs.launcher.startup
aioparcs.launcher.startup.warm_up = lambda: print("slow", flush=True) or time.sleep(60)
aioparcs.serve(print)
"""


def state() -> tuple[set[Any], int]:
    return asyncio.all_tasks(), psutil.Process().num_fds()


@pytest.mark.slow
@EVERY_WAY
async def test_entering_and_leaving_a_runner(way: dict[str, bool]) -> None:
    async def work() -> None:
        async with job() as runner:
            await runner.start("functions")

    await work()  # the loop opens some descriptors once
    before = state()
    injected = [CancelAt(work(), n, **way) for n in range(1, 12)]
    outcomes = await asyncio.gather(*(one.run() for one in injected))
    assert not family()  # at once: leaving has waited for them
    reached = [one.reached for one in injected]
    assert reached[3]
    assert not reached[-1], "there are more awaits"
    assert [isinstance(outcome, asyncio.CancelledError) for outcome in outcomes] == reached
    await until(lambda: state() == before)


@pytest.mark.slow
@EVERY_WAY
@pytest.mark.parametrize("work", [start, start_many, start_enough, iterate, fill])
async def test_starting_and_leaving_workers(
    way: dict[str, bool], work: Callable[[Runner], Coroutine[Any, Any, None]]
) -> None:
    async with job() as runner:
        await work(runner)
        await work(runner)  # the first start finds no launcher, the second reads what that has reported
        workers = runner._job.state.workers
        await until(lambda: not workers)
        before, processes = state(), len(family())
        for n in range(1, _MOST):
            injected = CancelAt(work(runner), n, **way)
            await injected.run()
            await until(lambda: not workers and len(family()) == processes)
            await until(lambda: state() == before)
            if not injected.reached:
                break
        assert 2 < n < _MOST


async def test_leaving_a_runner_waits_for_no_launcher_that_a_cancelled_start_has_left_before_it_dialled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deadlines, "LAUNCHER_EXIT", 60.0)
    recorder = EventRecorder()
    async with job(module(tmp_path, "slow", SLOW), recorder=recorder) as runner:
        starting = asyncio.ensure_future(runner.start("slow").__aenter__())
        await until(lambda: None in recorder.lines)
        begun = asyncio.get_running_loop().time()
        starting.cancel()
        await asyncio.wait([starting])
        assert starting.cancelled()
    assert asyncio.get_running_loop().time() - begun < PATIENCE
