"""Workers that are replaced after so many calls, or when they have too much memory, while calls go on."""

import asyncio
import itertools
import os
import signal
from collections import Counter

import psutil
import pytest

from aioparcs import Runner, SettingError, StartError
from tests.support.jobs import EventRecorder, job
from tests.support.waiting import PATIENCE, until

pytestmark = [pytest.mark.one_loop, pytest.mark.slow]

MEGABYTE = 1 << 20


@pytest.mark.parametrize("size, max_calls", [(1, 1), (2, 10), (3, 7)])
async def test_a_worker_gets_no_more_than_its_calls(size: int, max_calls: int) -> None:
    recorder = EventRecorder()
    async with (
        job(recorder=recorder) as runner,
        runner.pool("limited", size, function="pid", max_calls=max_calls) as pool,
    ):
        pids = Counter(await pool.map(range(60)))
        assert max(pids.values()) <= max_calls
        assert await pool.map(range(5), function="ident") == list(range(5))
    assert not [event for event in recorder.events if event[0] == "ended" and event[-1]], "all ended cleanly"
    assert not any(psutil.pid_exists(pid) for pid in pids)


async def test_each_worker_has_one_successor_which_its_launcher_starts(runner: Runner) -> None:
    for _ in range(3):  # some workers end while others have had their last call, and none has taken their places
        async with runner.pool("limited", 4, function="ident", max_calls=3) as pool:
            assert await pool.map(range(300)) == list(range(300))
            assert len(runner._job.state.reservations) == 1
        await until(lambda: not runner._job.state.reservations)


async def test_calls_go_on_in_the_old_worker_until_its_successor_is_there(runner: Runner) -> None:
    async with runner.pool("limited", 1, function="pid", max_calls=1000) as pool:
        pids = await pool.map(range(5000))
        assert max(Counter(pids).values()) <= 1000
        assert pool.size == 1
        changes = sum(one != other for one, other in itertools.pairwise(pids))
        assert len(set(pids)) <= changes + 1


async def test_a_worker_that_has_too_much_memory_is_replaced(runner: Runner) -> None:
    async with runner.pool("limited", 1, function="pid", max_memory="200m") as pool:
        small = await pool.submit(MEGABYTE, function="grow")
        assert await pool.submit() == small
        large = await pool.submit(300 * MEGABYTE, function="grow")
        assert large == small
        async with asyncio.timeout(PATIENCE):
            while await pool.submit() == large:
                pass
        await until(lambda: not psutil.pid_exists(large))
        assert pool.size == 1


async def test_a_new_worker_that_has_too_much_memory_already_is_an_error(runner: Runner) -> None:
    with pytest.raises(StartError, match=r"max_memory=1,048,576: limited:0 has [\d,]+ bytes before its first call"):
        async with runner.pool("limited", 1, max_memory="1m"):
            pass


async def test_nothing_waits_for_the_calls_of_a_worker_that_is_gone(runner: Runner) -> None:
    before = len(asyncio.all_tasks())
    # A call may still be sent to a worker of which the runner doesn't know yet that it is gone.
    async with runner.pool("limited", 1, function="pid", max_calls=1000, max_memory="10g", retries=1) as pool:
        tasks = len(asyncio.all_tasks())
        assert tasks > before
        for _ in range(3):
            pid = await pool.submit()
            os.kill(pid, signal.SIGKILL)
            await until(lambda: not psutil.pid_exists(pid))  # noqa: B023  # it is awaited here
            assert await pool.submit() != pid
        await until(lambda: len(asyncio.all_tasks()) == tasks)


async def test_a_call_that_runs_is_finished_before_its_worker_is_replaced(runner: Runner) -> None:
    async with runner.pool("limited", 1, function="sleep", max_memory="200m") as pool:
        await pool.submit(300 * MEGABYTE, function="grow")
        assert await pool.map([1.0, 0.5, 0.5]) == [1.0, 0.5, 0.5]


async def test_workers_are_replaced_while_they_die_and_are_resized(runner: Runner) -> None:
    async with runner.pool("limited", 3, function="ident", max_calls=20, retries=5) as pool:
        calls = asyncio.ensure_future(pool.map(range(1000)))
        for size in (1, 4, 2):
            await pool.resize(size)
        assert await calls == list(range(1000))
        await until(lambda: pool.size == 2)


@pytest.mark.parametrize("options", [{"max_calls": 0}, {"max_memory": "much"}, {"max_memory": 0}])
async def test_an_impossible_number_is_refused(runner: Runner, options: dict[str, object]) -> None:
    with pytest.raises((ValueError, SettingError), match="max_"):
        runner.pool("limited", 1, **options)  # type: ignore[call-overload]
