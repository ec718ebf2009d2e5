"""The rate of a pool: what users may write, the decisions, and that calls begin no oftener."""

import asyncio
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aioparcs import Runner
from aioparcs.pool.scheduler import read_rate
from aioparcs.pool.scheduler.rate import TokenBucket
from tests.support.strategies import property_test


@pytest.mark.parametrize(
    "rate, number",
    [("100/s", 100), ("5000/m", 5000 / 60), ("10/h", 10 / 3600), (" 2.5 / s ", 2.5), (7, 7), (0.5, 0.5)],
)
def test_a_rate_is_a_number_or_text(rate: Any, number: float) -> None:
    assert read_rate(rate) == number


@pytest.mark.slow
@pytest.mark.parametrize("rate", ["", "100", "s", "100/d", "-1/s", "0/s", "1e3/s", "100/s/m", 0, -1, "inf/s"])
async def test_another_text_is_refused(runner: Runner, rate: Any) -> None:
    with pytest.raises(
        ValueError, match=r"rate=.*: it must be a number of calls for each second, above 0, or text such"
    ):
        runner.pool("crunch", 1, rate=rate)


@pytest.mark.parametrize("rate", [[], (1, 2), b"100/s", float("nan"), float("inf")], ids=range(5))
async def test_what_is_neither_is_refused(runner: Runner, rate: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=r"rate=.*: it must be a number of calls"):
        runner.pool("crunch", 1, rate=rate)


@pytest.mark.parametrize("rate, burst", [(1, 1), (50, 1), (99, 1), (100, 2), (5000, 100)])
def test_the_calls_of_20_ms_may_begin_at_once(rate: float, burst: int) -> None:
    bucket = TokenBucket(rate)
    assert bucket.available(0.0) == burst
    bucket.take(burst, 0.0)
    assert not bucket.available(0.0)
    assert bucket.next == pytest.approx(1 / rate)
    assert bucket.available(0.999 / rate) == 0
    assert bucket.available(1.001 / rate) == 1
    assert bucket.available(1000.0) == burst


@pytest.mark.slow
@property_test
@given(
    rate=st.floats(0.01, 10_000),
    steps=st.lists(st.tuples(st.floats(0, 2), st.integers(1, 1000)), min_size=1, max_size=40),
)
def test_in_no_time_more_calls_begin_than_the_rate_and_the_burst(rate: float, steps: list[tuple[float, int]]) -> None:
    bucket, now = TokenBucket(rate), 100.0
    begun: list[tuple[float, int]] = []
    for pause, wanted in steps:
        now += pause
        count = min(wanted, bucket.available(now))
        if count:
            bucket.take(count, now)
            begun.append((now, count))
        else:
            assert now < bucket.next <= now + 1.000001 / rate
    burst = max(1, int(rate * 0.02))
    for first, (since, _) in enumerate(begun):
        total = 0
        for until, count in begun[first:]:
            total += count
            assert total <= (burst + (until - since) * rate) * 1.000001


async def test_calls_begin_no_oftener_over_all_workers(runner: Runner) -> None:
    async with runner.pool("crunch", 3, rate=50) as pool:
        begun = asyncio.get_running_loop().time()  # as the pool reads it: it may be behind the clock
        assert await pool.map(range(10)) == [i * i for i in range(10)]
        futures = [pool.submit(i, priority=i) for i in range(10)]
        assert [await future for future in futures] == [i * i for i in range(10)]
        assert time.monotonic() - begun >= 19 / 50, "they are evenly spaced"


@pytest.mark.slow
async def test_calls_that_are_made_again_count_again(runner: Runner, tmp_path: Any) -> None:
    async with runner.pool("crunch", 2, rate=50, retries=1) as pool:
        begun = asyncio.get_running_loop().time()  # as the pool reads it: it may be behind the clock
        names = [str(i) for i in range(5)]
        assert await pool.starmap([(str(tmp_path), name) for name in names], function="note_and_die_once") == names
        assert time.monotonic() - begun >= 9 / 50


async def test_streams_begin_no_oftener(runner: Runner) -> None:
    async with runner.pool("streams", 2, function="count", rate=50) as pool:
        begun = asyncio.get_running_loop().time()  # as the pool reads it: it may be behind the clock
        streams = [pool.stream(3) for _ in range(5)]
        calls = [pool.submit(function="pid") for _ in range(5)]
        assert [[item async for item in stream] for stream in streams] == [[0, 1, 2]] * 5
        assert all([await call for call in calls])
        assert [item async for item in pool.stream_map([1] * 10)] == [0] * 10
        assert time.monotonic() - begun >= 19 / 50, "they are evenly spaced"
        closed = [pool.stream(3) for _ in range(3)]
        for stream in closed:
            await stream.aclose()
        assert await pool.submit(function="pid") > 0
        assert not any(worker.streams for worker in pool._dispatcher.workers.up.values())
