"""The total of a pool's calls: from its items' length, from its user, without cancelled calls; and `istarmap`."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import aioparcs
from aioparcs import Pool, Runner
from aioparcs.events import PoolState
from tests.support.jobs import EventRecorder, job
from tests.support.waiting import until


class Items:
    """
    Items with a length of their own.

    Args:
        length: returns the length, or raises.
    """

    def __init__(self, length: Callable[[], Any]) -> None:
        self._length = length

    def __len__(self) -> Any:
        return self._length()

    def __iter__(self) -> Iterator[int]:
        return iter(range(3))


def raising(error: BaseException) -> Callable[[], Any]:
    def length() -> Any:
        raise error

    return length


def states(recorder: EventRecorder) -> list[PoolState]:
    return [event[1] for event in recorder.events if event[0] == "pooled"]


@pytest.fixture
async def recorder() -> EventRecorder:
    return EventRecorder()


@pytest.fixture
async def runner(recorder: EventRecorder) -> AsyncIterator[Runner]:
    async with job(recorder=recorder) as runner:
        yield runner


STRANGE = [
    Items(raising(TypeError("no length"))),
    Items(raising(NotImplementedError())),
    Items(raising(RuntimeError("not now"))),
    Items(raising(OverflowError())),
    Items(lambda: -1),
    Items(lambda: "three"),
    Items(lambda: 2**64),
]


async def test_items_without_a_length_are_accepted(runner: Runner, recorder: EventRecorder) -> None:
    async with runner.pool("functions", 2, function="add") as pool:
        for items in STRANGE:
            assert await pool.map(items) == [1, 2, 3]
            assert [result async for result in pool.imap(items)] == [1, 2, 3]
            assert sorted([result async for result in pool.imap_unordered(items)]) == [1, 2, 3]
        results = pool.imap(range(2**64))
        assert [await anext(results) for _ in range(3)] == [1, 2, 3]
        await results.aclose()
    assert states(recorder)[-1].total is None


async def test_a_wrong_length_is_corrected(runner: Runner, recorder: EventRecorder) -> None:
    async with runner.pool("functions", 2, function="add") as pool:
        for length in (0, 2, 1000):
            assert await pool.map(Items(lambda length=length: length)) == [1, 2, 3]  # type: ignore[misc]  # mypy#6123
    assert states(recorder)[-1][2:5] == (9, 0, 9)


async def test_invalid_items_do_not_change_the_total(runner: Runner, recorder: EventRecorder) -> None:
    async with runner.pool("functions", 1, function="add") as pool:
        with pytest.raises(TypeError, match="not iterable"):
            await pool.map(7, total=100)  # type: ignore[call-overload]  # on purpose
        await pool.map([1])
    assert states(recorder)[-1].total == 1


async def test_total_is_for_items_without_a_length(runner: Runner, recorder: EventRecorder) -> None:
    async with runner.pool("functions", 2, function="add") as pool:
        await pool.map((i for i in range(5)), total=5)
        await pool.starmap(((i,) for i in range(5)), total=5)
        for results in (
            pool.imap((i for i in range(5)), total=5),
            pool.imap_unordered((i for i in range(5)), total=5),
            pool.istarmap(((i,) for i in range(5)), total=5),
            pool.istarmap_unordered(((i,) for i in range(5)), total=5),
        ):
            assert len([result async for result in results]) == 5
    seen = states(recorder)
    assert seen[-1][2:5] == (30, 0, 30)
    assert all(state.total is not None and state.total % 5 == 0 for state in seen)


async def test_a_total_for_all_calls_of_a_pool(runner: Runner, recorder: EventRecorder) -> None:
    async with runner.pool("functions", 2, function="add", total=6) as pool:
        assert await pool.submit(1) == 2
        await until(lambda: states(recorder)[-1][2:5] == (1, 0, 6))
        await pool.map(i for i in range(5))
        await until(lambda: states(recorder)[-1][2:5] == (6, 0, 6))
        await pool.submit(1)  # more than was announced
    assert states(recorder)[-1][2:5] == (7, 0, 7)


@pytest.mark.slow
@pytest.mark.parametrize("total, error", [(-1, ValueError), (2.5, TypeError), ("3", TypeError)])
async def test_an_impossible_total_is_refused(runner: Runner, total: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="total"):
        runner.pool("functions", 1, total=total)
    async with runner.pool("functions", 1) as pool:
        with pytest.raises(error, match="total"):
            await pool.map([1], total=total)


async def test_a_pool_that_is_left_early_keeps_its_total(runner: Runner, recorder: EventRecorder) -> None:
    async def use_one() -> None:
        async with runner.pool("functions", 1, function="add") as pool:
            async for _ in pool.imap(range(10_000)):
                raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        await use_one()
    last = states(recorder)[-1]
    assert last.total == 10_000
    assert last.done < 10_000


async def test_calls_that_were_cancelled_do_not_count(runner: Runner, recorder: EventRecorder, tmp_path: Path) -> None:
    go = tmp_path / "go"
    async with runner.pool("functions", 1) as pool:
        running = pool.submit(str(go), function="wait_for")
        unwanted = [pool.submit(n) for n in range(200)]
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await unwanted.pop()
        for future in unwanted:
            future.cancel()
        await until(lambda: states(recorder)[-1].total == 1)
        go.touch()
        await running
        late = pool.submit(3)
        await asyncio.wait([late])
        late.cancel()  # its result is there
        left = [pool.submit(n) for n in range(200)]
        assert states(recorder)[-1].failed == 0
    assert all(future.cancelled() for future in left)
    last = states(recorder)[-1]
    assert last.total == last.done >= 2


async def test_a_call_that_is_cancelled_as_its_result_comes_counts_once(
    runner: Runner, recorder: EventRecorder
) -> None:
    async with runner.pool("functions", 2) as pool:
        for turn in range(300):
            future = pool.submit(turn)
            for _ in range(turn % 7):
                await asyncio.sleep(0)
            future.cancel()
        await pool.map(range(10))
    last = states(recorder)[-1]
    assert last.total == last.done


async def test_a_map_that_is_left_does_not_count(runner: Runner, recorder: EventRecorder) -> None:
    async with runner.pool("functions", 2) as pool:
        results = pool.imap_unordered(range(1_000_000))
        await anext(results)
    last = states(recorder)[-1]
    assert last.total == last.done
    assert len([state for state in states(recorder) if not state.wanted]) == 1
    await results.aclose()


async def test_istarmap_spreads_the_items(runner: Runner) -> None:
    async with runner.pool("functions", 2, function="add") as pool:
        pairs = [(i, i) for i in range(50)]
        assert [result async for result in pool.istarmap(pairs)] == [2 * i for i in range(50)]
        assert sorted([result async for result in pool.istarmap_unordered(pairs)]) == [2 * i for i in range(50)]
        items: list[Any] = [(1, 2), 3]
        results = [result async for result in pool.istarmap(items, return_exceptions=True)]
        assert results[0] == 3
        assert "must be a tuple of arguments" in str(results[1])


async def test_keyword_arguments_may_have_any_name(runner: Runner) -> None:
    names: dict[str, Any] = dict.fromkeys(
        ("self", "args", "kwargs", "name", "items", "total", "work", "call", "size"), 1
    )
    async with runner.pool("functions", 1, function="keywords") as pool:
        assert await pool.submit(**names) == names


def test_a_pool_can_be_named_in_annotations() -> None:
    async def work(pool: Pool) -> None:
        pass

    assert inspect.signature(work).parameters["pool"].annotation is Pool
    assert aioparcs.Pool is Pool
    assert "Pool" in aioparcs.__all__
