"""Pools of an elastic size, on processes: they grow while calls wait, shrink without work, and lose no call."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from aioparcs import Runner, StartError
from aioparcs.engine import WorkerSpec
from aioparcs.pool import Pool
from aioparcs.pool.dispatch import PoolWorker
from aioparcs.pool.supervision.constants import Constants
from aioparcs.task import WorkerHandle
from tests.support.jobs import EventRecorder, family, job, live, module
from tests.support.waiting import until

pytestmark = pytest.mark.slow

LAUNCHER = 2  # processes of a launcher, which live as long as the job: itself and its agent


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aioparcs.pool.supervision.scaling._PERIOD", 0.01)
    monkeypatch.setattr("aioparcs.pool.sizing.autoscaler._FIRST_PAUSE", 0.01)


def workers() -> int:
    return len(live(family())) - LAUNCHER


def hold(pool: Pool, folder: Path, count: int) -> list[asyncio.Future[Any]]:
    """Submit calls that end with the file ``go``."""
    return [pool.submit(str(folder), str(i), function="hold") for i in range(count)]


class Rooms:
    """
    A provider of workers in front of the real one, with room for so many.

    Attributes:
        room: how many more it places; a request for more is refused.
        refused: how many were in each refused request.
    """

    def __init__(self, pool: Pool, room: int) -> None:
        self.room = room
        self.refused: list[int] = []
        self._provider = pool._supervisor._startup.provider
        pool._supervisor._startup.provider = self

    async def default_size(self, spec: WorkerSpec) -> int:
        return await self._provider.default_size(spec)

    async def place(self, spec: WorkerSpec, count: int) -> list[WorkerHandle]:
        if count > self.room:
            self.refused.append(count)
            raise StartError(spec.module, "there is no room")
        self.room -= count
        return await self._provider.place(spec, count)

    async def replace(self, spec: WorkerSpec, task: WorkerHandle) -> WorkerHandle:
        return await self._provider.replace(spec, task)

    def discard(self, task: WorkerHandle) -> None:
        self._provider.discard(task)

    def release(self) -> None:
        self._provider.release()


async def test_a_pool_grows_while_calls_wait_and_shrinks_without_work(tmp_path: Path) -> None:
    recorder = EventRecorder()
    async with job(recorder=recorder) as runner, runner.pool("crunch", (1, 6), idle=0.05) as pool:
        assert pool.size == 1
        calls = hold(pool, tmp_path, 20)
        await until(lambda: pool.size == 6)
        assert workers() == 6
        (tmp_path / "go").touch()
        assert await asyncio.gather(*calls) == [str(i) for i in range(20)]
        await until(lambda: pool.size == 1 and workers() == 1)
        assert await pool.map(range(100)) == [i * i for i in range(100)]
    states = [event[1] for event in recorder.events if event[0] == "pooled"]
    assert {state.workers for state in states} >= {1, 6}, "displays see how it grows"
    assert (4, 6) in {(state.workers, state.wanted) for state in states}
    marks = [path.read_text() for path in tmp_path.iterdir() if path.name != "go"]  # noqa: ASYNC240  # quick
    assert marks == ["x"] * 20, "no call is lost, and none runs twice"


@pytest.mark.parametrize("count, size", [(10, 3), (2, 2)], ids=["many", "the second behind the first"])
async def test_items_of_an_iterable_and_prefetched_calls_make_it_grow(
    runner: Runner, tmp_path: Path, count: int, size: int
) -> None:
    async with runner.pool("crunch", (1, 3), function="hold", idle=60) as pool:
        calls = asyncio.ensure_future(pool.starmap((str(tmp_path), str(i)) for i in range(count)))
        await until(lambda: pool.size == size)
        (tmp_path / "go").touch()
        await calls
        assert pool.size == size


async def test_a_pool_may_have_no_worker_while_there_is_no_work() -> None:
    recorder = EventRecorder()
    async with job(recorder=recorder) as runner, runner.pool("crunch", (0, 2), idle=0.01) as pool:
        assert pool.size == 0
        for _ in range(3):
            assert await pool.submit(3) == 9
            await until(lambda: pool.size == 0 and not workers())
        assert [result async for result in pool.imap(range(5))] == [0, 1, 4, 9, 16]
        await until(lambda: pool.size == 0)
    states = [event[1] for event in recorder.events if event[0] == "pooled"]
    assert [state.is_over for state in states] == [False] * (len(states) - 1) + [True]


async def test_a_pool_without_workers_waits_for_the_items_of_an_async_source(runner: Runner) -> None:
    items: asyncio.Queue[int] = asyncio.Queue()

    async def source() -> AsyncIterator[int]:
        while True:
            yield await items.get()

    async with runner.pool("crunch", (0, 2), idle=0.01) as pool:
        results = pool.imap(source())
        for i in range(3):
            items.put_nowait(i)
            assert await anext(results) == i * i
            started = pool._supervisor._startup
            await until(lambda: pool.size == 0)
            count = next(started._numbers)
            waiting = asyncio.ensure_future(anext(results))
            for _ in range(20):
                await asyncio.sleep(0.01)  # looks of the pool
            assert next(started._numbers) <= count + 2, "nothing waits, so nothing is started again and again"
            items.put_nowait(5)
            assert await waiting == 25
        await results.aclose()


async def test_results_that_are_not_taken_start_no_workers(runner: Runner) -> None:
    async with runner.pool("crunch", (0, 1), idle=0.01) as pool:
        results = pool.imap(range(1000))
        assert await anext(results) == 0
        await until(lambda: pool.size == 0)
        count = next(pool._supervisor._startup._numbers)
        for _ in range(20):
            await asyncio.sleep(0.01)  # looks of the pool
        assert next(pool._supervisor._startup._numbers) == count + 1
        assert [result async for result in results] == [i * i for i in range(1, 1000)]


async def test_what_can_not_be_started_is_reported_once_and_tried_again(tmp_path: Path) -> None:
    recorder = EventRecorder()
    async with job(recorder=recorder) as runner, runner.pool("crunch", (2, 12), idle=60) as pool:
        rooms = Rooms(pool, room=3)
        calls = hold(pool, tmp_path, 30)
        await until(lambda: pool.size == 5 and len(rooms.refused) > 3)
        assert rooms.refused[:3] == [4, 2, 2], "then one was placed"
        assert set(rooms.refused[3:]) == {1}
        rooms.room = 100
        await until(lambda: pool.size == 12)
        (tmp_path / "go").touch()
        await asyncio.gather(*calls)
    assert [note for note in recorder.notes if "goes on" in note] == [
        "the pool goes on with 4 of 8 workers: crunch did not start: there is no room"
    ]


async def test_an_elastic_pool_fails_if_no_worker_can_be_started(runner: Runner) -> None:
    async with runner.pool("crunch", (0, 4)) as pool:
        Rooms(pool, room=0)
        with pytest.raises(StartError, match="no worker of the pool is left: there is no room"):
            await pool.map(range(3))
    async with runner.pool("crunch", (0, 4), function="nonsense") as pool:
        with pytest.raises(StartError, match="no function 'nonsense' is served here"):
            await pool.map(range(3))


PICKY = """
import pathlib, time
from aioparcs import serve

def setup(folder):
    for place in range(3):
        try:
            (pathlib.Path(folder) / f"place {place}").touch(exist_ok=False)
            return
        except FileExistsError:
            pass
    raise ValueError("there are enough")

def wait_for(path):
    while not pathlib.Path(path).exists():
        time.sleep(0.002)

serve(wait_for, setup)
"""


async def test_some_workers_of_a_start_may_fail(tmp_path: Path) -> None:
    recorder = EventRecorder()
    async with (
        job(module(tmp_path, "picky", PICKY), recorder=recorder) as runner,
        runner.pool("picky", (1, 4), setup={"folder": str(tmp_path)}, idle=60) as pool,
    ):
        calls = [pool.submit(str(tmp_path / "go")) for _ in range(10)]
        await until(lambda: pool.size == 3 and recorder.notes)
        (tmp_path / "go").touch()
        await asyncio.gather(*calls)
        await until(lambda: workers() == 3 == pool._replicas.wanted)
    assert [note for note in recorder.notes if "the pool goes on with 3 of 4 workers" in note]


async def test_workers_that_die_are_replaced_while_the_size_changes(runner: Runner, tmp_path: Path) -> None:
    async with runner.pool("crunch", (0, 4), idle=0.01, retries=9) as pool:
        names = [str(i) for i in range(60)]
        results = await pool.starmap([(str(tmp_path), name) for name in names], function="note_and_die_once")
        assert results == names
        await until(lambda: pool.size == 0 and not workers())


async def test_calls_that_come_while_workers_leave_are_not_lost(runner: Runner) -> None:
    async with runner.pool("crunch", (0, 3), idle=0.0) as pool:
        deadline = time.monotonic() + 2
        number = 0
        while time.monotonic() < deadline:
            assert await pool.map(range(number % 7)) == [i * i for i in range(number % 7)]
            number += 1


# By hand


async def test_resize_with_a_pair_makes_the_size_elastic_and_a_number_fixes_it(runner: Runner, tmp_path: Path) -> None:
    async with runner.pool("crunch", 1, idle=0.01) as pool:
        calls = hold(pool, tmp_path, 10)
        await pool.resize((2, 3))
        assert pool.size >= 2
        await until(lambda: pool.size == 3)
        await pool.resize((1, 2))
        assert pool.size == 2
        (tmp_path / "go").touch()
        await asyncio.gather(*calls)
        await until(lambda: pool.size == 1)
        await pool.resize((2, 3))
        assert pool.size == 2
        await pool.resize(3)
        for _ in range(10):
            await asyncio.sleep(0.01)
        assert pool.size == 3, "it no longer shrinks"
        (tmp_path / "go").unlink()
        calls = hold(pool, tmp_path, 10)
        for _ in range(10):
            await asyncio.sleep(0.01)
        assert pool.size == 3, "nor grows"
        (tmp_path / "go").touch()
        await asyncio.gather(*calls)


async def test_leaving_ends_workers_that_are_on_their_way(runner: Runner, tmp_path: Path) -> None:
    async with runner.pool("crunch", (1, 9)) as pool:
        hold(pool, tmp_path, 20)
        await until(lambda: pool._replicas.starting)
    await until(lambda: not workers())


async def test_what_was_made_for_workers_that_have_left_is_released(runner: Runner, tmp_path: Path) -> None:
    async with runner.pool("crunch", (1, 6), idle=0.01) as pool:
        provider: Any = pool._supervisor._startup.provider
        calls = hold(pool, tmp_path, 20)
        await until(lambda: pool.size == 6)
        assert len(provider._retained) == 4, "one for the first worker, and one for each step"
        (tmp_path / "go").touch()
        await asyncio.gather(*calls)
        await until(lambda: len(provider._retained) == 1)


async def test_a_service_may_have_an_elastic_pool(runner: Runner, tmp_path: Path) -> None:
    async with runner.start("tree") as task:
        await task.send(["scale", "crunch", str(tmp_path)])
        assert await task.recv() == [0, 3, 0]


@pytest.mark.parametrize(
    "options, message",
    [
        ({"size": (3, 2)}, r"size\[1\]=2: it must be a whole number, at least 3"),
        ({"size": (-1, 2)}, r"size\[0\]=-1: it must be a whole number, at least 0"),
        ({"size": (0, 0)}, r"size\[1\]=0: it must be a whole number, at least 1"),
        ({"size": (1, 2, 3)}, r"size=\(1, 2, 3\): it must be a number of workers, or a pair"),
        ({"size": (1, 2.5)}, r"size\[1\]=2.5: it must be a whole number"),
        ({"size": 0}, "size=0: it must be a whole number, at least 1"),
        ({"size": (1, 2), "idle": -1}, "idle=-1: it must be a number of seconds, 0 or more"),
        ({"size": (1, 2), "idle": "1m"}, "idle='1m': it must be a number of seconds"),
        ({"size": (1, 2), "idle": float("nan")}, "idle=nan: it must be a number"),
    ],
    ids=range(9),
)
async def test_an_impossible_size_is_refused(runner: Runner, options: dict[str, Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        runner.pool("crunch", **options)
    if set(options) == {"size"}:
        async with runner.pool("crunch", 1) as pool:
            with pytest.raises((TypeError, ValueError), match=message):
                await pool.resize(options["size"])
            assert pool.size == 1


async def test_a_pool_without_workers_starts_some_for_streams_and_releases_them(runner: Runner) -> None:
    async with runner.pool("streams", (0, 2), idle=0.05) as pool:
        for _ in range(2):
            assert [item async for item in pool.stream(5, function="count")] == [0, 1, 2, 3, 4]
            await until(lambda: pool.size == 0)


@pytest.mark.parametrize("steps", range(4))
async def test_a_pool_is_left_at_the_moment_at_which_it_has_grown(runner: Runner, steps: int) -> None:
    """Its tasks are being cancelled when the new worker is to be watched: that starts no other task."""
    ready = asyncio.Event()
    async with runner.pool("crunch", (0, 1)) as pool:
        startup = pool._supervisor._startup
        prepare = startup._prepare

        async def prepare_late(task: WorkerHandle, number: int, constants: Constants) -> PoolWorker:
            worker = await prepare(task, number, constants)
            ready.set()
            for _ in range(steps):
                await asyncio.sleep(0)
            return worker

        startup._prepare = prepare_late  # type: ignore[method-assign]  # the real one, and a pause behind it
        call = pool.submit(3)
        await ready.wait()
    with suppress(asyncio.CancelledError):  # unless the worker was quicker
        assert await call == 9
    await until(lambda: not workers())


async def test_a_stream_that_was_closed_before_there_is_a_worker_never_begins(runner: Runner, tmp_path: Path) -> None:
    async with runner.pool("streams", (0, 2), function="forever") as pool:
        for way in ("aclose", "drop"):
            stream = pool.stream(str(tmp_path / way))
            if way == "aclose":
                await stream.aclose()
        kept = stream = pool.stream(str(tmp_path / "timeout"))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(stream), 0.0)
        await stream.aclose()
        assert pool._dispatcher.workers.load.waiting == 0
        assert await pool.submit(function="pid") > 0
        assert os.listdir(tmp_path) == []
        assert [worker.streams for worker in pool._dispatcher.workers.up.values()] == [set()]
        assert [item async for item in kept] == []


async def test_a_pool_grows_with_the_items_of_a_merged_stream(runner: Runner, tmp_path: Path) -> None:
    paths = [tmp_path / str(i) for i in range(7)]
    async with runner.pool("streams", (0, 5), function="forever", idle=0.05) as pool:
        async with pool.stream_map(map(str, paths)) as merged:
            async for _ in merged:
                if all(path.exists() for path in paths[:5]):
                    break
            assert pool.size == 5
            await until(lambda: pool._dispatcher.workers.load.waiting == 0)  # its reader is the slow one
        await until(lambda: pool.size == 0)
        for path in paths[:5]:
            path.unlink()
        async with pool.stream_map([str(path) for path in paths[:3]]) as merged:
            async for _ in merged:
                if all(path.exists() for path in paths[:3]):
                    break
            assert pool.size == 3, "no more than there are items"
