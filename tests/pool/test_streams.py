"""Streams of pools: which workers they go to, what becomes of them there, and what they leave to calls."""

import asyncio
import gc
import itertools
import os
import signal
import textwrap
import tracemalloc
from pathlib import Path
from typing import Any

import psutil
import pytest

from aioparcs import BusyError, CallTimeout, EncodeError, Retry, Runner, Stream, WorkerLost
from aioparcs.channel import CallStream
from aioparcs.pool.dispatch import PoolWorker
from aioparcs.pool.streams.stream import PoolStream
from tests.support.jobs import job, module
from tests.support.waiting import PATIENCE, until


@pytest.mark.slow
async def test_many_items_in_order(runner: Runner) -> None:
    n = 20_000
    async with runner.pool("streams", 2, function="count") as pool:
        one, other = pool.stream(n), pool.stream(n, function="acount")
        results = await asyncio.gather(*(_read(stream) for stream in (one, other)))
        assert results == [list(range(n))] * 2


def _has_ended(path: Path) -> bool:
    """Return True if the generator that writes to a file was closed, or cancelled where it awaits something."""
    return path.read_text().startswith(("GeneratorExit at", "CancelledError at"))


async def _take(stream: Stream[Any], items: list[Any]) -> None:
    async for item in stream:
        items.append(item)


async def _read(stream: Stream[Any]) -> list[Any]:
    return [item async for item in stream]


async def test_streams_go_to_the_workers_that_have_the_least_to_do(runner: Runner, tmp_path: Path) -> None:
    async with runner.pool("streams", 4, function="pids") as pool:
        streams = [pool.stream() for _ in range(4)]
        assert len({await anext(stream) for stream in streams}) == 4


async def test_a_stream_does_not_wait_behind_a_slow_call(tmp_path: Path) -> None:
    text = """
        import time
        from pathlib import Path
        from aioparcs import serve

        def count(n):
            yield from range(n)

        def hold(path):
            while not Path(path).exists():
                time.sleep(0.01)

        def square(n):
            return n * n

        serve(count, hold, square)
    """
    modules = module(tmp_path / "modules", "slow", textwrap.dedent(text))
    async with job(modules) as runner, runner.pool("slow", 2) as pool:
        held, squares = (
            pool.submit(str(tmp_path / "go"), function="hold"),
            pool.imap(itertools.count(), function="square"),
        )
        states = pool._scheduler.workers.values()
        await until(lambda: sum(len(state.calls) == 1 for state in states) == 1)
        done = 0
        async with asyncio.timeout(PATIENCE):
            # On a busy machine calls look slow for a while, and a worker with slow calls has one at a time.
            while done < 1000 or sorted(len(state.calls) > 1 for state in states) != [False, True]:
                assert await anext(squares) == done**2
                done += 1
            assert await _read(pool.stream(3)) == [0, 1, 2]
        (tmp_path / "go").touch()
        await held


@pytest.mark.slow
async def test_many_streams_at_once_on_few_workers(runner: Runner) -> None:
    async with runner.pool("streams", 2, function="count") as pool:
        streams = [pool.stream(300, function="count" if i % 2 else "acount") for i in range(40)]
        mapping = asyncio.ensure_future(pool.map(range(200), function="pid"))
        for expected in range(300):
            assert [await anext(stream) for stream in streams] == [expected] * 40
        assert len(await mapping) == 200
        assert [await _read(stream) for stream in streams] == [[]] * 40
        assert "40 streams" not in repr(pool)


@pytest.mark.untraced
@pytest.mark.slow
async def test_a_slow_reader_holds_few_items(runner: Runner, tmp_path: Path) -> None:
    size = 256 << 10
    async with runner.pool("streams", 1, function="blobs") as pool:
        await _read(pool.stream(3, size, str(tmp_path / "warm")))
        tracemalloc.start()
        try:
            count = 0
            async for item in pool.stream(200, size, str(tmp_path / "state")):
                assert len(item) == size
                count += 1
                if count % 20 == 0:
                    await asyncio.sleep(0.01)
            assert count == 200
            assert tracemalloc.get_traced_memory()[1] < 12 << 20
        finally:
            tracemalloc.stop()


async def test_an_error_names_its_worker_and_call(runner: Runner) -> None:
    async with runner.pool("streams", 2, function="fail", retries=Retry(3, on=KeyError)) as pool:
        stream = pool.stream(3)
        assert [await anext(stream) for _ in range(3)] == [0, 1, 2]
        with pytest.raises(KeyError) as caught:
            await anext(stream)
        assert caught.value.__notes__[-1] == "call of fail: (3)"
        assert "in worker streams:" in str(caught.value)
        assert await _read(stream) == []
        with pytest.raises(EncodeError, match=r"argument 0: .*object") as encoding:
            await anext(pool.stream(object(), function="count"))
        assert encoding.value.__notes__[-1].startswith("call of count: (<object")
        with pytest.raises(TypeError, match=r"function=3: it must be a function, or the name of one"):
            pool.stream(3, function=3)


async def test_a_plain_call_of_a_generator_function_is_refused(runner: Runner) -> None:
    async with runner.pool("streams", 1, function="count") as pool:
        with pytest.raises(TypeError, match=r"count is a generator function, and a call has one result: pool\.stream"):
            await pool.submit(3)
        with pytest.raises(TypeError, match="acount is a generator function"):
            await pool.map([3], function="acount")
        assert await _read(pool.stream(3)) == [0, 1, 2]


async def test_a_lost_worker_is_an_error_and_never_a_second_try_behind_an_item(runner: Runner, tmp_path: Path) -> None:
    async with runner.pool("streams", 1, function="die", retries=3) as pool:
        stream, items = pool.stream(20), list[int]()
        with pytest.raises(WorkerLost, match=r"ended with exit code 7, at call of die: \(20\)"):
            await _take(stream, items)
        assert items == list(range(20))
        assert await _read(pool.stream(5, function="count")) == list(range(5))
        killed = pool.stream(str(tmp_path / "state"), function="forever")
        pid = await pool.submit(function="pid")
        await anext(killed)
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(WorkerLost, match="SIGKILL"):
            await _read(killed)
        assert await pool.submit(function="pid") != pid


@pytest.mark.parametrize("function", ["forever", "aforever"])
@pytest.mark.slow
async def test_a_worker_that_is_stopped_from_outside_is_lost(runner: Runner, tmp_path: Path, function: str) -> None:
    path = tmp_path / "state"
    async with runner.pool("streams", 1, function=function) as pool:
        stream = pool.stream(str(path))
        await anext(stream)
        os.kill(await pool.submit(function="pid"), signal.SIGTERM)
        with pytest.raises(WorkerLost, match="SIGTERM: it was stopped from outside"):
            await _read(stream)
        assert _has_ended(path)


async def test_a_stream_is_tried_again_before_its_first_item(runner: Runner, tmp_path: Path) -> None:
    async with runner.pool("streams", 1, function="die_first", retries=Retry(2, backoff=0.01)) as pool:
        assert await _read(pool.stream(str(tmp_path), 2, 5)) == list(range(5))
        with pytest.raises(WorkerLost) as caught:
            await anext(pool.stream(str(tmp_path), 99, 5))
        assert [note[:6] for note in caught.value.__notes__] == ["try 1:", "try 2:"]
        assert len(os.listdir(tmp_path)) == 6
        assert await _read(pool.stream(3, function="count")) == [0, 1, 2]


async def test_a_stream_that_is_tried_again_has_one_reader(
    runner: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with runner.pool("streams", 1, function="die_first", retries=Retry(1, backoff=0.2)) as pool:
        stream, in_pause = pool.stream(str(tmp_path), 1, 5), False
        assert isinstance(stream, PoolStream)
        begin, begun = stream.begin, list[bool]()

        def begin_and_look(source: CallStream, worker: PoolWorker) -> None:
            begin(source, worker)
            begun.append(_is_busy(stream))

        monkeypatch.setattr(stream, "begin", begin_and_look)
        reading = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0)
        while not reading.done():
            assert _is_busy(stream)
            in_pause = in_pause or stream._due is not None
            await asyncio.sleep(0)  # each turn of the loop is looked at
        assert [await reading, *await _read(stream)] == list(range(5))
        assert in_pause
        assert begun == [True], "its reader knows of no worker yet"
        assert len(os.listdir(tmp_path)) == 2


def _is_busy(stream: Stream[Any]) -> bool:
    """Return whether a second reader is refused; it is not left waiting."""
    second = stream.__anext__()
    try:
        second.send(None)
    except BusyError:
        return True
    second.close()
    return False


@pytest.mark.slow
async def test_streams_that_die_again_and_again_are_no_idle_deaths(runner: Runner) -> None:
    async with runner.pool("streams", 1, function="die") as pool:
        for _ in range(8):
            with pytest.raises(WorkerLost):
                await _read(pool.stream(1))
        assert await _read(pool.stream(3, function="count")) == [0, 1, 2]


async def test_the_time_limit_is_of_each_item(runner: Runner) -> None:
    async with runner.pool("streams", 1, function="slow", timeout=1.0) as pool:
        assert await _read(pool.stream(10, 0.0, 0)) == list(range(10))
        assert await _read(pool.stream(20, 0.05, 3)) == list(range(20))
        for function in ("slow", "aslow"):
            stream, items = pool.stream(90, 60.0, 80, function=function), list[int]()
            with pytest.raises(CallTimeout) as caught:
                await _take(stream, items)
            assert items == list(range(80))
            assert caught.value.call == f"call of {function}: (90, 60.0, 80)"
            assert f"in {function}" in caught.value.stack
        with pytest.raises(CallTimeout, match=r"time limit of 0\.1 s in worker streams:"):
            await _read(pool.stream_within(0.1, 2, 60.0, 1))
        assert await _read(pool.stream_within(20.0, 3, 0.5, 1)) == [0, 1, 2]
        with pytest.raises(ValueError, match="timeout=0"):
            pool.stream_within(0, 1, 1.0, 1)


@pytest.mark.parametrize("function", ["forever", "aforever"])
@pytest.mark.slow
async def test_leaving_the_block_closes_generators(runner: Runner, tmp_path: Path, function: str) -> None:
    paths = [tmp_path / str(i) for i in range(6)]
    async with runner.pool("streams", 2, function=function) as pool:
        streams = [pool.stream(str(path)) for path in paths]
        for stream in streams:
            assert await anext(stream) == 0
        async for _ in pool.stream(str(tmp_path / "another")):
            break
        waiting = asyncio.ensure_future(_wait(streams[0]))
        await asyncio.sleep(0)
    assert all(_has_ended(path) for path in paths)
    with pytest.raises(RuntimeError, match="the pool's block was left before all items were taken"):
        await waiting
    for stream in streams[1:]:
        with pytest.raises(RuntimeError, match="the pool's block was left before all items were taken"):
            await anext(stream)
        assert await _read(stream) == []
    with pytest.raises(RuntimeError, match="calls are made inside the pool's block"):
        pool.stream("x")


async def _wait(stream: Stream[Any]) -> None:
    async for _ in stream:
        pass


async def test_leaving_the_block_kills_a_generator_that_computes(runner: Runner) -> None:
    async with runner.pool("streams", 2, function="slow") as pool:
        stream = pool.stream(9, 60.0, 1)
        assert await anext(stream) == 0
        pids = set(await pool.map(range(8), function="pid")) | {await pool.submit(function="pid")}
    assert not any(psutil.pid_exists(pid) for pid in pids)
    with pytest.raises(RuntimeError, match="the pool's block was left"):
        await anext(stream)


async def test_items_that_are_there_can_be_taken_behind_the_block(runner: Runner) -> None:
    async with runner.pool("streams", 1, function="count") as pool:
        stream = pool.stream(5)
        first = await anext(stream)
        (worker,) = pool._dispatcher.workers.up.values()
        await until(lambda: not worker.streams)
    assert [first, *await _read(stream)] == list(range(5))


async def test_a_stream_that_is_no_longer_referenced_ends(runner: Runner, tmp_path: Path) -> None:
    path = tmp_path / "state"
    async with runner.pool("streams", 1, function="forever") as pool:
        stream = pool.stream(str(path))
        await anext(stream)
        del stream
        gc.collect()
        await until(lambda: _has_ended(path))


@pytest.mark.slow
async def test_resizing_and_recycling_let_streams_end(runner: Runner) -> None:
    async with runner.pool("streams", 2, function="pids") as pool:
        streams = [pool.stream() for _ in range(2)]
        pids = [await anext(stream) for stream in streams]
        await pool.resize(1)
        for stream, pid in zip(streams, pids, strict=True):
            assert [await anext(stream) for _ in range(200)] == [pid] * 200
            await stream.aclose()
        await until(lambda: sum(psutil.pid_exists(pid) for pid in pids) == 1)
    async with runner.pool("streams", 1, function="pids", max_calls=1) as pool:
        streams = [pool.stream() for _ in range(3)]
        assert len({await anext(stream) for stream in streams}) == 3
        for stream in streams:
            await stream.aclose()


async def test_a_pool_that_has_failed_fails_streams(runner: Runner, tmp_path: Path) -> None:
    async with runner.pool("streams", 1, function="count") as pool:
        pool._replicas.stop()
        with pytest.raises(WorkerLost):
            await _read(pool.stream(1, function="die"))
        waiting, merged = pool.stream(3), pool.stream_map(itertools.repeat(3))
        pool._supervisor._fail(OSError("no workers"))
        with pytest.raises(OSError, match="no workers"):
            await anext(waiting)
        with pytest.raises(OSError, match="no workers"):
            await _read(merged)
        assert await _read(merged) == []
        for call in (pool.stream, pool.stream_map):
            with pytest.raises(OSError, match="no workers"):
                call([3])
