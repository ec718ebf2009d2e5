"""Streams of single workers: their items, their pace, and their ends."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from aioparcs import BusyError, CallTimeout, EncodeError, RemoteError, Runner, Stream, Task, WorkerLost
from tests.support.jobs import MODULES, EventRecorder, job, module
from tests.support.waiting import PATIENCE, until


@pytest.fixture(scope="module")
async def runner() -> AsyncIterator[Runner]:
    """Yield a runner whose launcher has loaded the module: a start for each test is only a fork."""
    async with job() as runner:
        async with runner.start("streams"):
            pass
        yield runner


@pytest.fixture
async def t(runner: Runner) -> AsyncIterator[Task]:
    async with runner.start("streams") as t:
        yield t


def _has_ended(path: Path) -> bool:
    """Return True if the generator that writes to a file was closed, or cancelled where it awaits something."""
    return path.read_text().startswith(("GeneratorExit at", "CancelledError at"))


async def _take(stream: Stream[Any], items: list[Any]) -> None:
    async for item in stream:
        items.append(item)


@pytest.mark.slow
@pytest.mark.parametrize("function", ["count", "acount"])
async def test_many_items_in_order(t: Task, function: str) -> None:
    n = 20_000
    assert [i async for i in t.stream(function, n)] == list(range(n))


@pytest.mark.parametrize(
    "function, items",
    [
        ("count", [0, 1, 2]),
        ("acount", [0, 1, 2]),
        ("listed", [0, 1, 2]),
        ("later", [0, 1, 2]),
        ("wrapped", ["aioparcs-functions"] * 3),
    ],
)
async def test_the_items_of_each_kind_of_function(t: Task, function: str, items: list[object]) -> None:
    assert [i async for i in t.stream(function, 3)] == items
    assert [i async for i in t.stream(function, 0)] == []


@pytest.mark.parametrize("function", ["fail", "afail"])
@pytest.mark.slow
async def test_an_exception_comes_after_the_items_before_it(t: Task, function: str) -> None:
    stream, items = t.stream(function, 100), list[int]()
    with pytest.raises(KeyError, match="at the end") as caught:
        await _take(stream, items)
    assert items == list(range(100))
    assert isinstance(caught.value, RemoteError)
    assert "in fail" in caught.value.traceback or "in afail" in caught.value.traceback
    assert "aioparcs/service" not in caught.value.traceback
    assert [i async for i in stream] == [], "it raises once"


@pytest.mark.slow
@pytest.mark.parametrize("function", ["forever", "aforever"])
@pytest.mark.parametrize("way", ["aclose", "break", "cancel", "block"])
async def test_a_stream_that_ends_early_closes_its_generator(t: Task, tmp_path: Path, function: str, way: str) -> None:
    path = tmp_path / "state"

    async def read() -> None:
        async for i in t.stream(function, str(path)):
            if i == 10:
                if way == "cancel":
                    await asyncio.Event().wait()
                break

    if way == "aclose":
        stream = t.stream(function, str(path))
        assert await anext(stream) == 0
        await stream.aclose()
        assert _has_ended(path)
        assert [i async for i in stream] == []
    elif way == "block":
        async with t.stream(function, str(path)) as stream:
            assert await anext(stream) == 0
        assert _has_ended(path)
    else:
        reading = asyncio.ensure_future(read())
        if way == "cancel":
            await until(lambda: path.exists() and path.read_text() not in ("", "0"))
            reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        del reading
        await until(lambda: _has_ended(path))
    assert await t.call("pid") > 0


@pytest.mark.parametrize("function", ["forever", "aforever"])
async def test_a_slow_reader_stops_the_generator(t: Task, tmp_path: Path, function: str) -> None:
    path = tmp_path / "state"
    stream = t.stream(function, str(path))
    await until(lambda: path.exists() and path.read_text() == "63")
    assert [await anext(stream) for _ in range(10)] == list(range(10))
    assert [await t.call("pid") for _ in range(50)]
    assert path.read_text() == "63", "it gets no credit for less than half of the window"
    assert [await anext(stream) for _ in range(22)] == list(range(10, 32))
    await until(lambda: path.read_text() == "95")
    await stream.aclose()


async def test_large_items_are_few_ahead(t: Task, tmp_path: Path) -> None:
    path, size = tmp_path / "state", 1 << 20
    stream = t.stream("blobs", 50, size, str(path))
    await until(lambda: path.exists() and path.read_text() == "3")
    assert [await t.call("pid") for _ in range(20)]
    assert path.read_text() == "3", "4 MiB are ahead"
    items = [item async for item in stream]
    assert [int(item[0]) for item in items] == list(range(50))
    assert {len(item) for item in items} == {size}


@pytest.mark.slow
async def test_large_items_that_are_taken_before_their_sender_goes_on(t: Task, tmp_path: Path) -> None:
    busy = asyncio.ensure_future(_take(t.stream("abusy"), []))  # the thread of the other one waits for its turns
    async with asyncio.timeout(PATIENCE):
        items = [int(item[0]) async for item in t.stream("blobs", 40, 5 << 20, str(tmp_path / "state"))]
    assert items == list(range(40))
    busy.cancel()


@pytest.mark.slow
async def test_streams_and_calls_share_a_worker(t: Task, tmp_path: Path) -> None:
    idle = [t.stream("forever", str(tmp_path / f"{i}")) for i in range(8)]
    assert [await anext(stream) for stream in idle] == [0] * 8
    streams = [t.stream("count" if i % 2 else "acount", 500) for i in range(8)]
    for expected in range(500):
        assert [await anext(stream) for stream in streams] == [expected] * 8
    assert await t.call("pid") > 0
    for stream in idle:
        await stream.aclose()


async def test_a_generator_function_has_no_one_result(t: Task) -> None:
    for name in ("count", "acount"):
        with pytest.raises(TypeError, match=rf"{name} is a generator function, .*: pool\.stream\(\.\.\.\) or"):
            await t.call(name, 3)
        with pytest.raises(TypeError, match="is a generator function"):
            await t.call_within(5.0, name, 3)


async def test_what_is_no_stream(t: Task) -> None:
    with pytest.raises(TypeError, match="nothing returned NoneType: a stream is of what a generator yields"):
        await anext(t.stream("nothing"))
    with pytest.raises(LookupError, match="no function 'none' is served here"):
        await anext(t.stream("none"))
    with pytest.raises(TypeError, match="missing 1 required positional argument"):
        await anext(t.stream("count"))
    with pytest.raises(EncodeError, match=r"argument 0: .*object"):
        await anext(t.stream("count", object()))
    with pytest.raises(TypeError, match="use async for"):
        iter(t.stream("count", 1))  # type: ignore[call-overload]  # on purpose
    with pytest.raises(TypeError, match="use async for"):
        await t.stream("count", 1)  # type: ignore[misc]  # on purpose


async def test_an_item_that_cannot_be_sent_ends_the_stream(t: Task) -> None:
    stream = t.stream("opaque")
    assert await anext(stream) == 1
    with pytest.raises(RemoteError, match=r"an item of opaque can't be sent: object cannot be sent"):
        await anext(stream)
    assert await t.call("pid") > 0


async def test_one_reader_at_a_time(t: Task) -> None:
    stream = t.stream("aslow", 2, 60.0, 0)
    reading = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)
    with pytest.raises(BusyError, match="another coroutine"):
        await anext(stream)
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    await stream.aclose()


async def test_cancelling_the_wait_for_an_item_loses_none(t: Task) -> None:
    stream, items = t.stream("aslow", 20, 0.2, 10), list[int]()
    while len(items) < 20:
        try:
            async with asyncio.timeout(0.01):
                items.append(await anext(stream))
        except TimeoutError:
            pass
    assert items == list(range(20))


@pytest.mark.parametrize("function", ["slow", "aslow"])
async def test_the_time_limit_is_of_each_item(t: Task, function: str) -> None:
    assert len([i async for i in t.stream_within(20.0, function, 30, 0.01, 0)]) == 30
    stream = t.stream_within(1.0, function, 90, 60.0, 80)
    items: list[int] = []
    for _ in range(20):
        items.append(await anext(stream))
    await asyncio.sleep(1.2)  # the generator waits for its reader: that doesn't count
    with pytest.raises(CallTimeout) as caught:
        await _take(stream, items)
    assert items == list(range(80))
    assert caught.value.limit == 1.0
    assert f"in {function}" in caught.value.stack
    assert caught.value.worker == t.name
    assert caught.value.ended_worker is (function == "slow")


async def test_a_worker_that_dies_is_lost_after_the_items_before(runner: Runner) -> None:
    async with runner.start("streams") as t:
        stream = t.stream("die", 20)
        items: list[int] = []
        with pytest.raises(WorkerLost, match="exit code 7"):
            await _take(stream, items)
        assert items == list(range(20))
        with pytest.raises(WorkerLost):
            await anext(t.stream("count", 1))


@pytest.mark.slow
async def test_a_worker_that_is_killed_is_lost(runner: Runner, tmp_path: Path) -> None:
    async with runner.start("streams") as t:
        pid = await t.call("pid")
        stream = t.stream("forever", str(tmp_path / "state"))
        await anext(stream)
        psutil.Process(pid).kill()
        with pytest.raises(WorkerLost, match="SIGKILL"):
            async for _ in stream:
                pass


@pytest.mark.slow
async def test_generators_end_with_their_worker_s_channel(runner: Runner, tmp_path: Path) -> None:
    paths = [tmp_path / "plain", tmp_path / "async"]
    async with runner.start("streams") as t:
        streams = [t.stream("forever", str(paths[0])), t.stream("aforever", str(paths[1]))]
        for stream in streams:
            await anext(stream)
    assert all(_has_ended(path) for path in paths)
    for stream in streams:
        with pytest.raises(Exception, match=r"ended|closed"):
            async for _ in stream:
                pass


async def test_what_a_generator_raises_when_it_is_closed_is_shown() -> None:
    recorder = EventRecorder()
    async with job(recorder=recorder) as runner, runner.start("streams") as t:
        stream = t.stream("stubborn")
        await anext(stream)
        await stream.aclose()
        assert await t.call("pid") > 0
    ((_, lines),) = recorder.lines.items()
    assert "ValueError: in the finally block" in lines
    assert "while stubborn was closed, before its end; nothing else has failed" in lines
    assert "aioparcs/service" not in "".join(lines)


RELAY = """
from aioparcs import Service, serve

class Relay(Service):
    async def run(self):
        async with self.start("streams") as t:
            async for i in t.stream("count", 200):
                await self.send(i)
        async with self.pool("streams", 2, function="acount") as pool:
            async for i in pool.stream(200):
                await self.send(i)
            await self.send(sorted([i async for i in pool.stream_map([2, 3])]))

serve(Relay)
"""


@pytest.mark.slow
async def test_a_service_reads_streams_of_its_own_workers(tmp_path: Path) -> None:
    modules = [module(tmp_path, "relay", RELAY), MODULES]
    async with job(*modules) as runner, runner.start("relay") as t:
        assert [await t.recv() for _ in range(400)] == [*range(200), *range(200)]
        assert await t.recv() == [0, 0, 1, 1, 2]


async def test_a_service_without_functions_has_no_streams() -> None:
    async with job() as runner, runner.start("talker") as t:
        with pytest.raises(LookupError, match="this service takes no calls"):
            await anext(t.stream("count", 3))
        await t.kill()


async def test_a_stream_that_is_closed_at_once_has_not_begun(runner: Runner, tmp_path: Path) -> None:
    path = tmp_path / "state"
    async with runner.start("streams") as t:
        for _ in range(3):
            await t.stream("forever", str(path)).aclose()
            assert await t.call("pid") > 0
        assert not path.exists() or _has_ended(path)
