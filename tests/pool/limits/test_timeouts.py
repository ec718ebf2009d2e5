"""Time limits of calls: what passes its limit is stopped, with its worker if need be, and everything else goes on."""

import asyncio
import os
import re
import signal
from pathlib import Path
from typing import Any

import psutil
import pytest

import aioparcs
from aioparcs import CallTimeout, EncodeError, Runner, StartError, WorkerLost
from tests.support import reference_service
from tests.support.jobs import MODULES, job, module
from tests.support.waiting import until

pytestmark = [pytest.mark.one_loop, pytest.mark.slow]

LONG = 60.0
PACKAGE = Path(aioparcs.__file__).parent


def _marks(folder: Path) -> set[str]:
    """Return what calls of `mark` have left there."""
    return {path.read_text() for path in folder.iterdir()}


@pytest.mark.parametrize(
    "function, frame",
    [
        ("sleep", "in sleep"),
        ("spin", "in spin"),
        ("hold", "in hold"),
        ("wait", "in wait"),
        ("go_on", "in nap"),
        ("block", "in block"),
        ("wrapped", "in wrapper"),
        ("later", "in wait"),
    ],
)
async def test_a_call_that_takes_too_long_is_stopped_wherever_it_is(runner: Runner, function: str, frame: str) -> None:
    async with runner.pool("limited", 2, function=function, timeout=1.0) as pool:
        results = await pool.map([0.0, LONG, 0.0, 0.01], return_exceptions=True)
        error = results.pop(1)
        assert results == [0.0, 0.0, 0.0 if function == "wrapped" else 0.01]
        assert isinstance(error, CallTimeout)
        assert isinstance(error, TimeoutError)
        assert (error.limit, error.call) == (1.0, "item 1: (60.0)")
        assert error.worker.startswith("limited:")
        assert frame in error.stack.splitlines()[0]
        assert str(PACKAGE) not in error.stack
        assert f"item 1: (60.0) was not done within its time limit of 1 s in worker {error.worker}" == str(error)
        assert error.stack in error.__notes__[-1]
        assert await pool.map([0.0] * 20) == [0.0] * 20
        await until(lambda: pool.size == 2)


async def test_only_a_plain_function_costs_its_worker(runner: Runner) -> None:
    async with runner.pool("limited", 1, function="pid") as pool:
        before = await pool.submit()
        with pytest.raises(CallTimeout):
            await pool.submit_within(0.1, LONG, function="wait")
        with pytest.raises(CallTimeout):
            await pool.submit_within(0.1, LONG, function="later")
        with pytest.raises(CallTimeout) as caught:
            await pool.submit_within(1.0, 0.1, LONG, function="wrapped")
        assert "in wrapped" in caught.value.stack
        assert await pool.submit() == before
        with pytest.raises(CallTimeout):
            await pool.submit_within(0.1, LONG, function="sleep")
        assert await pool.submit() != before
        assert not psutil.pid_exists(before)


async def test_calls_behind_one_that_takes_too_long_were_never_begun(runner: Runner, tmp_path: Path) -> None:
    items = [(str(tmp_path), x) for x in (LONG, *(i / 1000 for i in range(40)))]
    async with runner.pool("limited", 1, function="mark", timeout=1.5) as pool:
        results = await pool.starmap(items, return_exceptions=True)
    assert isinstance(results[0], CallTimeout)
    assert results[1:] == [x for _, x in items[1:]]
    assert _marks(tmp_path) == {"x"}, "none ran twice"


async def test_time_in_the_queue_does_not_count(runner: Runner) -> None:
    async with runner.pool("limited", 1, function="sleep", timeout=1.5) as pool:
        assert await pool.map([0.4] * 6) == [0.4] * 6


async def test_each_way_to_call_has_its_own_limit(runner: Runner) -> None:
    async with runner.pool("limited", 2, function="sleep", timeout=LONG) as pool:
        for call in (pool.imap, pool.imap_unordered):
            results = [one async for one in call([0.0, LONG, 0.0], timeout=1.0, return_exceptions=True)]
            assert sorted(isinstance(result, CallTimeout) for result in results) == [False, False, True]
        with pytest.raises(CallTimeout):
            await pool.map([5.0], timeout=0.2)
        with pytest.raises(CallTimeout):
            await pool.starmap([(5.0,)], timeout=0.2)
        with pytest.raises(TimeoutError, match=r"call of sleep: \(5\.0\) was not done within its time limit of 0\.2 s"):
            await pool.submit_within(0.2, 5.0)
        assert await pool.submit_within(LONG, 7, timeout=8, function="ident") == [7, 8]
        assert await pool.submit(7, timeout=8, function="ident") == [7, 8]
        items: list[Any] = [(1.0,), 2]
        results = await pool.starmap(items, timeout=LONG, return_exceptions=True)
        assert (results[0], type(results[1])) == (1.0, EncodeError)


async def test_a_coroutine_function_beside_one_that_ignores_it_is_lost_or_repeated(runner: Runner) -> None:
    async with runner.pool("limited", 1, concurrency=8, function="wait", retries=1) as pool:
        other = pool.submit(4.0)
        with pytest.raises(CallTimeout) as caught:
            await pool.submit_within(0.3, LONG, function="go_on")
        assert "in go_on" in caught.value.stack
        assert await other == 4.0
    async with runner.pool("limited", 1, concurrency=8, function="wait") as pool:
        other = pool.submit(LONG)
        with pytest.raises(CallTimeout):
            await pool.submit_within(0.3, LONG, function="block")
        with pytest.raises(WorkerLost):
            await other


async def test_a_task_keeps_the_limit_of_a_call(runner: Runner) -> None:
    async with runner.start("limited") as task:
        assert await task.call_within(LONG, "ident", 7, timeout=8) == [7, 8]
        with pytest.raises(EncodeError, match="argument 1: "):
            await task.call_within(LONG, "ident", 7, object())
        with pytest.raises(EncodeError, match="argument timeout: "):
            await task.call_within(LONG, "ident", 7, timeout=object())
        with pytest.raises(
            CallTimeout, match=r"the call was not done within its time limit of 0.2 s in worker limited"
        ):
            await task.call_within(0.2, "wait", LONG)
        assert await task.call("ident", 7) == 7
        behind = asyncio.ensure_future(task.call("ident", 7))
        with pytest.raises(CallTimeout, match="limited:0") as caught:
            await task.call_within(0.2, "hold", LONG)
        assert "in hold" in caught.value.stack
        with pytest.raises(WorkerLost):
            await behind
        with pytest.raises(WorkerLost, match="a call was not done within its time limit of 0"):
            await task.recv()
        await task.kill()


@pytest.mark.parametrize("function", ["opaque", "opaque_later"])
async def test_a_result_that_can_not_be_sent_is_that_of_the_function_itself(runner: Runner, function: str) -> None:
    async with runner.pool("limited", 1, function=function, timeout=LONG) as pool:
        with pytest.raises(TypeError, match=rf"the result of {function} can't be sent: result\[0\]: object cannot"):
            await pool.submit()


async def test_a_worker_that_dies_before_the_limit_is_lost(runner: Runner, tmp_path: Path) -> None:
    async with runner.pool("limited", 1, function="sleep", timeout=LONG) as pool:
        pid = await pool.submit(function="pid")
        call = pool.submit_within(LONG, str(tmp_path), LONG, function="mark")
        await until(lambda: _marks(tmp_path))
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(WorkerLost, match="SIGKILL"):
            await call


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf"), "soon", "5"])
async def test_an_impossible_limit_is_refused(runner: Runner, timeout: float) -> None:
    with pytest.raises((TypeError, ValueError), match="timeout="):
        runner.pool("limited", 1, timeout=timeout)


BOSS = """
from aioparcs import CallTimeout, Service, WorkerLost, serve


class Boss(Service):
    async def run(self) -> None:
        async with self.pool("limited", 2, timeout=1.0, max_calls=5) as pool:
            for function in ("hold", "wait"):
                results = await pool.map([0.0, 60.0, *[0.0] * 20], function=function, return_exceptions=True)
                late = results.pop(1)
                await self.send([isinstance(late, CallTimeout), late.call, late.stack, results])


serve(Boss)
"""


async def test_pools_of_services_keep_limits_too(tmp_path: Path) -> None:
    async with job(module(tmp_path, "boss", BOSS), MODULES) as runner, runner.start("boss") as task:
        for function in ("hold", "wait"):
            is_late, item, stack, results = await task.recv()
            assert (is_late, item, results) == (True, "item 1: (60.0)", [0.0] * 21)
            assert f"in {function}" in stack


FRESH = """
import time

from aioparcs import serve


def sleep(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


serve(sleep, fork=False)
"""


async def test_workers_with_interpreters_of_their_own_keep_limits_too(tmp_path: Path) -> None:
    async with job(module(tmp_path, "fresh", FRESH)) as runner, runner.pool("fresh", 1, timeout=1.0) as pool:
        results = await pool.map([0.0, LONG, 0.0], return_exceptions=True)
        assert isinstance(results[1], CallTimeout)
        assert "in sleep" in results[1].stack
        assert results[::2] == [0.0, 0.0]


async def _refusal(runner: Runner, **options: Any) -> str:
    """Return why a pool of the reference service is refused."""
    with pytest.raises(StartError) as caught:
        async with runner.pool("reference", 1, **options):
            pass
    return str(caught.value)


async def test_workers_that_can_not_keep_a_limit_are_refused(tmp_path: Path) -> None:
    folder = module(tmp_path, "reference", Path(reference_service.__file__).read_text())  # noqa: ASYNC240  # quick
    async with job(folder) as runner:
        # At once, since such a worker reports no end when it is killed.
        reasons = await asyncio.gather(_refusal(runner, timeout=5), _refusal(runner, max_memory=5))
        assert re.search(r"timeout=5.* reference:\d doesn't know aioparcs\.limited; LookupError", reasons[0])
        assert re.search(r"max_memory=5.* reference:\d doesn't know aioparcs\.memory; LookupError", reasons[1])
        async with runner.pool("reference", 1, function="add") as pool:
            with pytest.raises(LookupError, match=r"aioparcs.limited"):
                await pool.submit_within(5.0, 1, 2)
            assert await pool.submit(1, 2) == 3
