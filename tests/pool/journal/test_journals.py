"""Pools with a journal: what is in it is not called again, and everything else is."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aioparcs import RemoteError, Runner
from aioparcs.events import PoolState
from aioparcs.journal import summarize
from tests.pool.journal.work import WORK, counts, once
from tests.support.jobs import EventRecorder, job, module
from tests.support.waiting import until

pytestmark = pytest.mark.one_loop

TEAM = """
from aioparcs import Service, serve


class Team(Service):
    async def run(self):
        folder, journal = await self.recv()
        async with self.pool("work", 2, function="scale") as pool:
            await self.send(await pool.starmap([(folder, n) for n in range(20)], journal=journal))


serve(Team)
"""


@pytest.mark.parametrize("method", ["starmap", "istarmap", "istarmap_unordered"])
@pytest.mark.slow
async def test_what_is_done_is_not_called_again(runner: Runner, calls: str, journal: Path, method: str) -> None:
    async def scaled(numbers: list[int]) -> list[int]:
        async with runner.pool("work", 2, function="scale") as pool:
            results: Any = getattr(pool, method)([(calls, n) for n in numbers], journal=journal)
            found = await results if method == "starmap" else [one async for one in results]
            return sorted(found) if method.endswith("unordered") else list(found)

    assert await scaled(list(range(500))) == list(range(500))
    # Others among them, in another order: each result is at its item's place.
    numbers = list(range(1000))[::-1]
    assert await scaled(numbers) == (sorted(numbers) if method.endswith("unordered") else numbers)
    assert counts(calls) == once(range(1000))
    assert summarize(str(journal)).functions[0].results == 1000


async def test_keyword_arguments_are_arguments(runner: Runner, calls: str, journal: Path) -> None:
    items: list[Any] = [{"folder": calls, "name": "a"}, {"folder": calls, "name": "b"}, (calls, "a"), (calls, "b")]
    for _ in range(2):
        async with runner.pool("work", 1) as pool:
            assert await pool.starmap(items, journal=journal) == [1, 1, 2, 2]
            assert await pool.starmap(items, journal=journal, timeout=60) == [1, 1, 2, 2]


async def test_results_with_their_items_come_back(runner: Runner, calls: str, journal: Path) -> None:
    items = [(calls, n) for n in range(20)]
    for _ in range(2):
        async with runner.pool("work", 2, function="scale") as pool:
            results = pool.istarmap_unordered(items, keyed=True, journal=journal)
            assert sorted([pair async for pair in results]) == [(n, n) for n in range(20)]
    assert counts(calls) == once(range(20))


async def test_a_time_limit_is_no_part_of_a_call(runner: Runner, calls: str, journal: Path) -> None:
    items = [(calls, n) for n in range(9)]
    async with runner.pool("work", 1, function="scale") as pool:
        assert await pool.starmap(items, journal=journal, timeout=50) == list(range(9))
        assert await pool.starmap(items, journal=journal) == list(range(9))
        assert await pool.starmap(items, journal=journal, timeout=60) == list(range(9))
    assert counts(calls) == once(range(9))


@pytest.mark.parametrize("method", ["map", "imap", "imap_unordered"])
@pytest.mark.slow
async def test_items_of_one_argument(runner: Runner, journal: Path, method: str) -> None:
    async with runner.pool("crunch", 2, function="process") as pool:
        first = [await pool.map([n], journal=str(journal)) for n in range(3)]
    async with runner.pool("crunch", 2, function="process") as pool:  # by other processes
        results: Any = getattr(pool, method)(range(3), journal=journal)
        found = await results if method == "map" else [one async for one in results]
        assert sorted(found) == sorted(one for (one,) in first)


async def test_each_of_equal_items_has_a_result_of_its_own(runner: Runner, calls: str, journal: Path) -> None:
    same = (calls, "same")
    async with runner.pool("work", 1, function="count") as pool:
        first = await pool.starmap([same] * 20, journal=journal)
        assert sorted(first) == list(range(1, 21))
        assert await pool.starmap([same] * 5, journal=journal) == first[:5]
    async with runner.pool("work", 1, function="count") as pool:
        assert await pool.starmap([same] * 20, journal=journal) == first
        more = await pool.starmap([same] * 25, journal=journal)
        assert more[:20] == first
        assert sorted(more) == list(range(1, 26))


async def test_errors_are_called_again(runner: Runner, calls: str, journal: Path) -> None:
    items = [(calls, n) for n in range(6)]
    async with runner.pool("work", 2, function="check") as pool:
        results = await pool.starmap(items, journal=journal, return_exceptions=True)
        assert [isinstance(result, RemoteError) for result in results] == [False, True] * 3
        assert await pool.starmap(items, journal=journal) == list(range(6))
    assert counts(calls) == {str(n): 1 + n % 2 for n in range(6)}
    assert summarize(str(journal)).functions[0].results == 6


async def test_a_map_that_has_failed_goes_on_where_it_was(runner: Runner, calls: str, journal: Path) -> None:
    items = [(calls, n) for n in (0, 2, 4, 6, 1, 8)]
    async with runner.pool("work", 1, function="check") as pool:
        with pytest.raises(ValueError, match="1 is odd"):
            await pool.starmap(items, journal=journal)
        assert await pool.starmap(items, journal=journal) == [0, 2, 4, 6, 1, 8]
    assert counts(calls)["0"] == 1


@pytest.mark.slow
async def test_a_changed_function_is_another_one(runner: Runner, tmp_path: Path, calls: str, journal: Path) -> None:
    async def scaled() -> Any:
        async with runner.pool("work", 1, function="scale") as pool:
            return await pool.starmap([(calls, n) for n in range(3)], journal=journal)

    assert await scaled() == [0, 1, 2]
    module(tmp_path / "modules", "work", WORK.replace("ADDED = 0", "ADDED = 5"))
    assert await scaled() == [5, 6, 7]
    assert counts(calls) == {str(n): 2 for n in range(3)}
    module(tmp_path / "modules", "work", WORK.replace("is odd", "is not even"))
    assert await scaled() == [0, 1, 2]
    assert counts(calls) == {str(n): 2 for n in range(3)}
    versions = summarize(str(journal)).functions
    assert [(one.name, one.results) for one in versions] == [("work:scale", 3)] * 2


@pytest.mark.slow
async def test_other_functions_and_constants_are_other_calls(runner: Runner, calls: str, journal: Path) -> None:
    items = [(calls, n) for n in range(3)]
    for factor in (2, 3, 2):
        async with runner.pool("work", 1, function="scale", setup={"factor": factor}) as pool:
            assert await pool.starmap(items, journal=journal) == [0, factor, 2 * factor]
    assert counts(calls) == {str(n): 2 for n in range(3)}
    async with runner.pool("work", 1, setup={"factor": 2}) as pool:  # its first function
        assert await pool.starmap(items, journal=journal) == [3, 3, 3]
        assert await pool.starmap(items, journal=journal, function="count") == [3, 3, 3]


@pytest.mark.slow
async def test_all_kinds_of_results_come_back(runner: Runner, calls: str, journal: Path) -> None:
    sizes = [3, 100_000]
    for _ in range(2):
        async with runner.pool("work", 1, function="array") as pool:
            for size, result in zip(
                sizes, await pool.starmap([(calls, size) for size in sizes], journal=journal), strict=True
            ):
                assert np.array_equal(result["array"], np.arange(float(size)))
                assert result["parts"] == ({size}, b"x" * size)
                result["array"][0] = 7  # it is the program's own
    assert counts(calls) == {str(size): 1 for size in sizes}


async def test_calls_at_the_same_time_share_a_journal(runner: Runner, calls: str, journal: Path) -> None:
    async with runner.pool("work", 2) as pool:
        batches = [[(calls, f"{batch}-{n}") for n in range(50)] for batch in "abc"]
        found = await asyncio.gather(*(pool.starmap(items, journal=journal) for items in batches))
        assert found == [[1] * 50] * 3
        assert await pool.starmap([(calls, n) for n in range(9)], journal=journal, function="scale") == list(range(9))
    assert {one.name for one in summarize(str(journal)).functions} == {"work:count", "work:scale"}


@pytest.mark.slow
async def test_endless_items_are_taken_as_results_are(runner: Runner, calls: str, journal: Path) -> None:
    taken = 0

    async def numbers() -> AsyncIterator[tuple[str, int]]:
        nonlocal taken
        while True:
            yield calls, taken
            taken += 1

    for count in (100, 1500):
        taken = 0
        async with runner.pool("work", 2, function="scale") as pool:
            received = []
            async for result in pool.istarmap(numbers(), journal=journal):
                received.append(result)
                if len(received) == count:
                    break
            assert received == list(range(count))
            assert taken < count + 2000


@pytest.mark.slow
async def test_progress_counts_what_is_there_already(tmp_path: Path, calls: str, journal: Path) -> None:
    for _ in range(2):
        recorder = EventRecorder()
        async with job(module(tmp_path / "modules", "work", WORK), recorder=recorder) as runner:
            async with runner.pool("work", 1, function="scale") as pool:
                await pool.starmap([(calls, n) for n in range(300)], journal=journal)
        states = [event[1] for event in recorder.events if event[0] == "pooled"]
        assert isinstance(states[-1], PoolState)
        assert (states[-1].done, states[-1].total, states[-1].failed) == (300, 300, 0)


@pytest.mark.slow
async def test_a_cancelled_map_goes_on_where_it_was(runner: Runner, tmp_path: Path, journal: Path) -> None:
    items = [(str(tmp_path), str(n)) for n in range(5)]
    async with runner.pool("crunch", 1, function="hold") as pool:
        waiting = asyncio.ensure_future(pool.starmap(items, journal=journal))
        await until((tmp_path / "0").exists)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    async with runner.pool("crunch", 1, function="hold") as pool:
        (tmp_path / "go").touch()
        assert await pool.starmap(items, journal=journal) == [name for _, name in items]


@pytest.mark.slow
async def test_leaving_the_pool_closes_the_journal(runner: Runner, calls: str, journal: Path) -> None:
    """Whatever the calls do: the next pool can open it."""
    for _ in range(3):
        async with runner.pool("work", 1, function="scale") as pool:
            results = pool.istarmap([(calls, n) for n in range(10_000)], journal=journal)
        with pytest.raises((RuntimeError, StopAsyncIteration)):
            await anext(results)
    async with runner.pool("work", 1, function="scale") as pool:
        assert await pool.starmap([(calls, 1)], journal=journal) == [1]


@pytest.mark.slow
async def test_a_worker_that_dies_is_replaced(runner: Runner, tmp_path: Path, journal: Path) -> None:
    items = [(str(tmp_path / "marks"), str(n)) for n in range(4)]
    (tmp_path / "marks").mkdir()
    async with runner.pool("crunch", 1, function="note_and_die_once", retries=1) as pool:
        assert await pool.starmap(items, journal=journal) == [name for _, name in items]
        assert await pool.starmap(items, journal=journal) == [name for _, name in items]
    assert counts(str(tmp_path / "marks")) == {name: 2 for _, name in items}


@pytest.mark.slow
async def test_a_service_resumes_too(tmp_path: Path, calls: str, journal: Path) -> None:
    module(tmp_path / "modules", "team", TEAM)
    for _ in range(2):
        async with job(module(tmp_path / "modules", "work", WORK)) as runner, runner.start("team") as team:
            await team.send([calls, str(journal)])
            assert await team.recv() == list(range(20))
    assert counts(calls) == once(range(20))
