"""Merged streams of pools, from `stream_map`: the items of many generators, how many run, and what is raised."""

import asyncio
import gc
import itertools
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from aioparcs import EncodeError, Runner, Stream, WorkerLost
from tests.support.waiting import until


def _has_ended(path: Path) -> bool:
    """Return True if the generator that writes to a file was closed, or cancelled where it awaits something."""
    return path.read_text().startswith(("GeneratorExit at", "CancelledError at"))


async def _take(stream: Stream[Any], items: list[Any]) -> None:
    async for item in stream:
        items.append(item)


async def _read(stream: Stream[Any]) -> list[Any]:
    return [item async for item in stream]


@pytest.mark.parametrize("function", ["count", "acount"])
@pytest.mark.slow
async def test_the_items_of_many_generators_as_they_come(runner: Runner, function: str) -> None:
    async with runner.pool("streams", 3, function=function, concurrency=2) as pool:
        for items in ([30] * 40, _arriving(40)):
            assert sorted(await _read(pool.stream_map(items))) == sorted(list(range(30)) * 40)
        begun = 0
        async for item in pool.stream_map([10**9] * 6):
            begun += item == 0
            if begun == 6:
                break  # none of them waits for another's end
        pairs = await _read(pool.stream_starmap([(2,), {"n": 3}]))
        assert sorted(pairs) == [0, 0, 1, 1, 2]
        assert await _read(pool.stream_map([])) == []
        assert await _read(pool.stream_map([0, 0])) == []


async def _arriving(n: int) -> AsyncIterator[int]:
    for _ in range(n):
        await asyncio.sleep(0)
        yield 30


async def test_items_are_taken_as_generators_begin(runner: Runner) -> None:
    taken = []

    def items() -> Iterator[int]:
        for i in itertools.count():
            taken.append(i)
            yield 1000

    async with runner.pool("streams", 2, function="count") as pool:
        async with pool.stream_map(items()) as merged:
            assert [await anext(merged) for _ in range(100)]
            assert taken == [0, 1]
        await until(lambda: not any(worker.streams for worker in pool._dispatcher.workers.up.values()))


async def _take_all(stream: Stream[Any], items: list[Any]) -> list[KeyError]:
    """Read a stream to its end, behind each failure; return the failures."""
    failures: list[KeyError] = []
    while True:
        try:
            await _take(stream, items)
        except KeyError as error:
            failures.append(error)
        else:
            return failures


async def test_a_generator_that_fails_raises_in_its_place(runner: Runner) -> None:
    async with runner.pool("streams", 2, function="fail") as pool:
        items = list[int]()
        failures = await _take_all(pool.stream_map([3, 3, 3]), items)
        assert sorted(items) == [0, 0, 0, 1, 1, 1, 2, 2, 2]
        assert sorted(error.__notes__[-1] for error in failures) == ["item 0: (3)", "item 1: (3)", "item 2: (3)"]


async def test_items_that_are_no_arguments_fail_and_a_broken_iterable_ends_it(runner: Runner) -> None:
    async with runner.pool("streams", 2, function="fail") as pool:
        outcomes = await _read(pool.stream_starmap([(1,), 7], return_exceptions=True))
        kinds = (int, KeyError, EncodeError)
        assert sorted(isinstance(outcome, kind) for outcome in outcomes for kind in kinds) == [False] * 6 + [True] * 3
        with pytest.raises(EncodeError, match=r"item 0: must be a tuple of arguments, .* not 7"):
            await _read(pool.stream_starmap([7]))
        for return_exceptions in (False, True):
            merged, items = pool.stream_map(_broken(), return_exceptions=return_exceptions), list[Any]()
            with pytest.raises(ValueError, match="of the items"):
                await _take_all(merged, items)
            assert [isinstance(item, KeyError) for item in items] == [True, True] * return_exceptions
            assert await _read(merged) == []
        with pytest.raises(TypeError, match="not iterable"):
            pool.stream_map(7)  # type: ignore[call-overload]  # on purpose


def _broken() -> Iterator[int]:
    yield from [0, 0]
    raise ValueError("of the items")


async def test_a_merged_stream_that_ends_early_closes_its_generators(runner: Runner, tmp_path: Path) -> None:
    paths = [tmp_path / str(i) for i in range(3)]
    texts = [str(path) for path in paths]

    async def close_all(way: str) -> None:
        merged = pool.stream_map(texts)
        await anext(merged)
        await until(lambda: all(path.exists() for path in paths))
        if way == "aclose":
            await merged.aclose()
            assert await _read(merged) == []

    async with runner.pool("streams", 3, function="forever") as pool:
        for way in ("aclose", "drop"):
            await close_all(way)
            gc.collect()
            await until(lambda: all(_has_ended(path) for path in paths))
            for path in paths:
                path.unlink()
        merged = pool.stream_map(texts)
        await anext(merged)
        await until(lambda: all(path.exists() for path in paths))
    assert all(_has_ended(path) for path in paths)
    with pytest.raises(RuntimeError, match="the pool's block was left before all items were taken"):
        await _read(merged)
    assert await _read(merged) == []


@pytest.mark.slow
async def test_a_merged_stream_goes_on_in_other_workers(runner: Runner) -> None:
    async with runner.pool("streams", 2, function="die", retries=99) as pool:
        outcomes = await _read(pool.stream_map([5] * 6, return_exceptions=True))
        lost = [outcome for outcome in outcomes if isinstance(outcome, WorkerLost)]
        assert sorted(error.call for error in lost) == [f"item {i}: (5)" for i in range(6)]
        assert sorted((error.index, error.item) for error in lost) == [(i, 5) for i in range(6)]
        assert 6 <= len(outcomes) - len(lost) <= 30
