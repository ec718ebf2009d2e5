"""Pools when much happens at once: results of two kinds, cancellations, generators that ask for more, odd errors."""

import asyncio
import gc
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from aioparcs import EncodeError, Pool, RemoteError, Runner, WorkerLost
from tests.support.jobs import job
from tests.support.waiting import until

pytestmark = pytest.mark.one_loop


@pytest.mark.slow
async def test_large_results_of_coroutines_stay_whole_beside_small_ones_of_the_thread(runner: Runner) -> None:
    async with runner.pool("crunch", 1, concurrency=8) as pool:

        async def blobs() -> None:
            for _ in range(15):
                assert await pool.submit(100_000, function="blob") == b"\7" * 100_000

        squares, *_ = await asyncio.gather(pool.map(range(40_000)), *(blobs() for _ in range(4)))
        assert squares == [i * i for i in range(40_000)]


@pytest.mark.slow
async def test_a_small_result_is_not_delayed_by_a_large_one(runner: Runner) -> None:
    async with runner.pool("crunch", 1, concurrency=4) as pool:
        await pool.map(range(10))
        large = pool.submit(30_000_000, function="blob")
        small = pool.submit(0.05, function="sleep")
        await asyncio.sleep(0.004)
        time.sleep(0.2)  # noqa: ASYNC251  # this program reads nothing meanwhile
        assert await small == 0.05
        assert len(await large) == 30_000_000


async def test_cancelling_a_future_as_its_result_comes_disturbs_no_other_call(runner: Runner) -> None:
    async with runner.pool("crunch", 1) as pool:
        first, second = pool.submit(0.02, function="sleep"), pool.submit(3)
        await asyncio.sleep(0.01)
        time.sleep(0.1)  # noqa: ASYNC251  # both results are in the socket, and are read in one iteration
        first.cancel()
        assert await second == 9
        assert await pool.map([1, 2]) == [1, 4]


async def test_coroutines_whose_results_wait_for_room_can_be_cancelled(runner: Runner) -> None:
    async with runner.pool("crunch", 1, function="blob", concurrency=8) as pool:
        futures = [pool.submit(3_000_000) for _ in range(24)]
        await asyncio.sleep(0.02)
        for future in futures:
            future.cancel()
        await until(lambda: pool._scheduler.status.running == 0)
        assert max(await pool.map([0.1] * 24, function="count_concurrent")) == 8


async def test_a_concurrent_call_of_a_dead_worker_is_not_repeated(runner: Runner, tmp_path: Path) -> None:
    started, ended = tmp_path / "started", tmp_path / "ended"
    async with runner.pool("crunch", 1) as pool:
        await pool.map(range(10))
        waiting = pool.submit(str(started), str(ended), function="touch_if_cancelled")  # a coroutine function
        await until(started.exists)
        dying = pool.submit(1, 1, function="die_at")  # a plain one: it runs in the thread meanwhile
        for future in (dying, waiting):
            with pytest.raises(WorkerLost):
                await future


async def test_items_that_cannot_be_sent_do_not_block_their_worker(runner: Runner) -> None:
    async with runner.pool("crunch", 1) as pool:
        results = await pool.map([object()] * 300, return_exceptions=True)
        assert all(isinstance(result, EncodeError) for result in results)
        with pytest.raises(EncodeError):
            await pool.map([object()] * 3)
        assert await pool.map([1, 2]) == [1, 4]


async def test_starmap_refuses_items_that_are_no_tuples(runner: Runner) -> None:
    wrong: list[Any] = [range(3), ["ab"], [None]]
    async with runner.pool("crunch", 1, function="add") as pool:
        for items in wrong:
            with pytest.raises(TypeError, match="item 0: must be a tuple of arguments, or a dict of"):
                await pool.starmap(items)
            assert await pool.starmap([(1, 2)]) == [3]


async def test_a_large_item_is_named_by_a_short_text(runner: Runner) -> None:
    async with runner.pool("crunch", 1, function="refuse") as pool:
        for item in (10**5000, b"x" * 1_000_000, "y" * 1_000_000, [[[[1]]]] * 1000):
            with pytest.raises(RemoteError) as caught:
                await pool.submit(item)
            note = caught.value.__notes__[-1]
            assert len(note) < 150
            assert await pool.submit(3, function="square") == 9


@pytest.mark.slow
@pytest.mark.parametrize("name", ["refuse", "refuse_coroutine"])
async def test_exceptions_of_every_kind_come_back(runner: Runner, name: str) -> None:
    async with runner.pool("crunch", 1, function=name) as pool:
        pid = await pool.submit(function="pid")
        for kind in ("KeyboardInterrupt", "GeneratorExit", "BaseExceptionGroup", "Odd", "Unprintable"):
            with pytest.raises(RemoteError, match=kind):
                await pool.submit(kind)
            with pytest.raises(RemoteError, match=kind):
                await pool.map([kind])
            assert await pool.submit(function="pid") == pid


def _raising(error: BaseException) -> Iterator[int]:
    yield 1
    raise error


async def _raising_async(error: BaseException) -> AsyncIterator[int]:
    yield 1
    raise error


@pytest.mark.parametrize("source", [_raising, _raising_async])
async def test_an_error_of_a_source_is_raised_where_results_are_awaited(
    runner: Runner, source: Callable[[BaseException], Any]
) -> None:
    async with runner.pool("crunch", 1) as pool:
        for error in (ValueError("why"), asyncio.CancelledError("why"), BaseExceptionGroup("why", [KeyError()])):
            with pytest.raises(type(error), match="why"):
                await pool.map(source(error))
            results = pool.imap(source(error))
            assert await anext(results) == 1
            with pytest.raises(type(error), match="why"):
                await anext(results)
            assert await pool.map([3]) == [9]


async def test_a_generator_may_submit_calls_of_its_own(runner: Runner) -> None:
    futures: list[asyncio.Future[Any]] = []
    async with runner.pool("crunch", 2) as pool:

        def items() -> Iterator[int]:
            for i in range(300):
                futures.append(pool.submit(i))
                yield i

        assert await pool.map(items()) == [i * i for i in range(300)]
        assert await asyncio.gather(*futures) == [i * i for i in range(300)]


@pytest.mark.slow
async def test_results_do_not_wait_for_memory_that_is_not_released() -> None:
    async with job(receive_budget=4 << 20) as runner:
        async with runner.start("talker") as talker, runner.pool("crunch", 1, function="blob") as pool:
            await talker.send(["echo", bytes(3 << 20)])
            await until(lambda: talker.is_ready)
            assert len(await pool.submit(3 << 20)) == 3 << 20
            await talker.kill()


@pytest.mark.slow
async def test_abandoned_results_are_dropped(runner: Runner) -> None:
    async with runner.pool("crunch", 2) as pool:
        for _ in range(20):
            async for _ in pool.imap_unordered(range(1000)):
                break
        await until(lambda: pool._scheduler.status.running == 0)
        gc.collect()
        assert not pool._scheduler._rotations.usual.clients
        assert await pool.map([1, 2]) == [1, 4]


async def test_a_cancelled_map_begins_no_further_call(runner: Runner, tmp_path: Path) -> None:
    go = tmp_path / "go"
    async with runner.pool("crunch", 1) as pool:
        slow = pool.submit(str(go), function="wait_for")
        mapping = asyncio.ensure_future(pool.starmap([(str(tmp_path), str(i)) for i in range(60)], function="note"))
        await asyncio.sleep(0.1)  # some were sent, and asked back again
        mapping.cancel()
        await asyncio.wait([mapping])
        await until(lambda: pool._scheduler.status.running == 1)
        go.touch()
        await slow
        assert await pool.submit(3) == 9
        assert sum(1 for _ in tmp_path.iterdir()) == 1  # noqa: ASYNC240  # quick


@pytest.mark.slow
async def test_two_pools_of_one_module_live_and_lose_workers_side_by_side(runner: Runner) -> None:
    async with runner.pool("crunch", 1) as first:
        async with runner.pool("crunch", 2) as second:
            with pytest.raises(WorkerLost):
                await second.submit(1, 1, function="die_at")
            assert await second.map([1, 2]) == [1, 4]
        with pytest.raises(WorkerLost):
            await first.submit(1, 1, function="die_at")
        assert await first.map([3]) == [9]


async def test_a_result_is_sent_while_the_next_call_never_ends(runner: Runner, tmp_path: Path) -> None:
    async with runner.pool("functions", 1) as pool:  # its first calls: the worker's thread begins with them
        quick, endless = pool.submit(1, function="add"), pool.submit(str(tmp_path / "never"), function="wait_for")
        assert await asyncio.wait_for(quick, 20) == 2
        assert not endless.done()


async def test_calls_of_a_worker_that_is_stopped_from_outside_are_lost_and_made_again(
    runner: Runner, tmp_path: Path
) -> None:
    started, cancelled = tmp_path / "started", tmp_path / "cancelled"

    async def stop_worker(pool: Pool) -> None:
        await until(started.exists)
        started.unlink()
        os.kill(await pool.submit(function="pid"), signal.SIGTERM)

    async with runner.pool("crunch", 1, function="touch_if_cancelled", concurrency=2) as pool:
        call = pool.submit(str(started), str(cancelled))
        await stop_worker(pool)
        with pytest.raises(WorkerLost, match="SIGTERM"):
            await call
        assert cancelled.exists()
    async with runner.pool("crunch", 1, function="touch_if_cancelled", concurrency=2, retries=1) as pool:
        call = pool.submit(str(started), str(cancelled))
        for _ in range(2):
            await stop_worker(pool)
        with pytest.raises(WorkerLost) as caught:
            await call
        assert [note[:6] for note in caught.value.__notes__] == ["try 1:"]
