"""The trace of a pool, on real workers: its spans are the calls that they made, when they made them."""

import asyncio
import time
from itertools import pairwise
from pathlib import Path

import pytest

from aioparcs import ParcsError, Retry
from aioparcs.events import CallSpan, CallSpans, Event, WorkerConnected, WorkerExited, WorkerStopped
from tests.support.jobs import job
from tests.support.waiting import until

pytestmark = [pytest.mark.one_loop, pytest.mark.slow]

# Seconds by which the time of a loop may be behind that of the program, and a pool behind what its job has published: a
# turn of the loop, which takes any time on a busy machine.
CLOCK = 20.0


class Spans:
    """
    The spans of a program, and the times of its workers.

    Attributes:
        spans: all of them.
        events: how many events these came in.
    """

    def __init__(self) -> None:
        self.spans: list[CallSpan] = []
        self.events = 0
        self._lives: dict[int, list[float]] = {}

    def __call__(self, event: Event) -> None:
        match event:
            case CallSpans():
                self.events += 1
                self.spans += event.spans
            case WorkerConnected():
                self._lives[event.worker] = [event.time]
            case WorkerExited() | WorkerStopped():
                self._lives[event.worker].append(event.time)

    @property
    def calls(self) -> int:
        return sum(span.calls for span in self.spans)

    @property
    def failed(self) -> int:
        return sum(span.failed for span in self.spans)

    @property
    def named(self) -> list[CallSpan]:
        return [span for span in self.spans if span.call]

    def check(self, *, overlapping: bool = False) -> None:
        """Check that each worker's spans are in its life, and one after the other."""
        for worker, (begin, end) in self._lives.items():
            own = sorted(span for span in self.spans if span.worker == worker)
            assert all(begin - CLOCK <= span.begin <= span.end <= end + CLOCK for span in own)
            assert all(span.busy <= (span.end - span.begin) * span.calls + 1e-3 for span in own)
            if not overlapping:
                assert all(one.end <= other.begin + 1e-6 for one, other in pairwise(own))
                assert all(span.busy <= span.end - span.begin + 1e-3 for span in own)
        assert {span.worker for span in self.spans} <= set(self._lives)


async def test_each_item_is_in_a_span_and_long_calls_are_named(spans: Spans) -> None:
    async with job(calls=spans) as runner:
        async with runner.pool("crunch", 2, function="sleep") as pool:
            await pool.map([0.001] * 20 + [0.05] * 6 + [0.001] * 20)
            for _ in range(3):
                await pool.submit(0.06)
    spans.check()
    assert (spans.calls, spans.failed) == (49, 0)
    assert {span.function for span in spans.spans} == {"sleep"}
    longest = [span for span in spans.named if span.call == "call of sleep: (0.06)"]
    assert [span.calls for span in longest] == [1, 1, 1]
    assert all(span.end - span.begin >= span.busy - 1e-6 >= 0.03 for span in longest)
    assert sum(span.busy for span in spans.spans) >= 0.45


async def test_many_short_calls_are_few_spans(spans: Spans) -> None:
    begin = time.monotonic()
    async with job(calls=spans) as runner:
        async with runner.pool("crunch", 2, function="square") as pool:
            assert await pool.map(range(100_000)) == [i * i for i in range(100_000)]
    took = time.monotonic() - begin
    spans.check()
    assert spans.calls == 100_000
    assert spans.events <= took / 0.25 + 2
    assert len(spans.spans) < 100 + 240 * took  # named are those that a busy machine has made long: 10 ms each


async def test_failed_calls_are_listed_with_their_error(spans: Spans) -> None:
    async with job(calls=spans) as runner:
        async with runner.pool("crunch", 2, function="refuse_odd") as pool:
            results = await pool.map(range(30), return_exceptions=True)
            assert sum(isinstance(result, ValueError) for result in results) == 15
            await pool.map(range(0, 2000, 2))
    spans.check()
    assert (spans.calls, spans.failed) == (1030, 15)
    errors = [span for span in spans.named if span.failed]
    assert sorted(span.call for span in errors) == sorted(f"item {i}: ({i})" for i in range(1, 30, 2))
    assert all(f"{span.call.partition('(')[2][:-1]} is odd" in span.error for span in errors)


async def test_no_more_than_some_failures_are_listed_at_once(spans: Spans) -> None:
    async with job(calls=spans) as runner:
        async with runner.pool("crunch", 2, function="refuse_odd") as pool:
            await pool.map([1] * 5000, return_exceptions=True)
    spans.check()
    assert (spans.calls, spans.failed) == (5000, 5000)
    assert len([span for span in spans.named if span.busy < 0.01]) <= 20 * spans.events


async def test_the_call_that_has_killed_its_worker_has_failed(spans: Spans) -> None:
    async with job(calls=spans) as runner:
        async with runner.pool("crunch", 2, function="die_at") as pool:
            results = await pool.starmap([(i, 7) for i in range(12)], return_exceptions=True)
            assert sum(isinstance(result, ParcsError) for result in results) == 1
    spans.check()
    assert (spans.calls, spans.failed) == (12, 1)
    (lost,) = [span for span in spans.spans if span.failed]
    assert (lost.call, lost.lost) == ("item 7: (7, 7)", 1)
    assert "SIGKILL" in lost.error


async def test_a_call_that_is_cancelled_while_it_runs_ends_with_its_worker_s_answer(
    spans: Spans, tmp_path: Path
) -> None:
    begun, go = tmp_path / "begun", tmp_path / "go"
    async with job(calls=spans) as runner, runner.pool("crunch", 1, function="mark_and_wait_for") as pool:
        running, waiting = (pool.submit(str(begun), str(go)) for _ in range(2))
        await until(begun.exists)
        (worker,) = pool._scheduler.workers.values()
        waiting.cancel()
        await until(lambda: len(worker.calls) == 1)  # else it might begin
        running.cancel()
        cancelled = time.monotonic()
        await asyncio.sleep(0)  # the call is cancelled by a callback
        go.touch()
        assert await pool.submit(3, function="square") == 9
    spans.check()
    (span,) = [span for span in spans.spans if span.cancelled]
    assert (span.function, span.calls, span.failed) == ("mark_and_wait_for", 1, 0)
    assert span.begin <= cancelled <= span.end + CLOCK
    assert spans.calls == 2, "that which had not begun is no call"


async def test_calls_that_run_when_their_pool_is_left_are_cancelled(spans: Spans, tmp_path: Path) -> None:
    async with job(calls=spans) as runner:
        async with runner.pool("crunch", 2, function="hold") as pool:
            pool.submit(str(tmp_path), "one")
            pool.submit(str(tmp_path), "two")
            await until(lambda: len(list(tmp_path.iterdir())) == 2)
        async with runner.pool("streams", 1, function="count") as pool:
            async for _ in pool.stream(1000):
                break
    spans.check(overlapping=True)
    cancelled = [span for span in spans.spans if span.cancelled]
    assert sorted(span.function for span in cancelled) == ["count", "hold", "hold"]
    assert spans.failed == 0


async def test_repeated_calls_count_each_time(spans: Spans, tmp_path: Path) -> None:
    async with job(calls=spans) as runner:
        async with runner.pool("crunch", 2, function="note_and_die_once", retries=1) as pool:
            await pool.starmap([(str(tmp_path), "a"), (str(tmp_path), "b"), (str(tmp_path), "c")])
        retry = Retry(2, on=(ValueError,))
        async with runner.pool("crunch", 1, function="refuse_odd", retries=retry) as pool:
            await pool.map([1, 2], return_exceptions=True)
    spans.check()
    deaths = [span for span in spans.spans if span.function == "note_and_die_once"]
    assert (sum(span.calls for span in deaths), sum(span.failed for span in deaths)) == (6, 3)
    tries = [span for span in spans.spans if span.function == "refuse_odd"]
    assert (sum(span.calls for span in tries), sum(span.failed for span in tries)) == (4, 3)


async def test_calls_that_run_at_once_begin_when_they_are_sent(spans: Spans) -> None:
    async with job(calls=spans) as runner:
        async with runner.pool("crunch", 1, function="count_concurrent", concurrency=8) as pool:
            await pool.map([0.1] * 24)
            await asyncio.gather(pool.map(range(500), function="square"), pool.map([0.1] * 8))
    spans.check(overlapping=True)
    assert spans.calls == 24 + 500 + 8
    waits = [span for span in spans.named if span.function == "count_concurrent"]
    assert len(waits) == 32
    assert all(span.busy >= 0.095 for span in waits)
    longest = max(waits, key=lambda span: span.busy)
    assert sum(span.begin < longest.end and longest.begin < span.end for span in waits) > 2, "some run at once"


async def test_streams_are_calls_too(spans: Spans) -> None:
    async with job(calls=spans) as runner:
        async with runner.pool("streams", 1, function="count") as pool:
            assert [item async for item in pool.stream(3)] == [0, 1, 2]
            with pytest.raises(ParcsError):
                await anext(pool.stream("no number"))
    spans.check(overlapping=True)
    assert (spans.calls, spans.failed) == (2, 1)
    (failure,) = [span for span in spans.named if span.failed]
    assert failure.call == "call of count: ('no number')"
    assert "TypeError" in failure.error


async def test_without_a_subscriber_that_wants_them_there_are_none() -> None:
    seen: list[Event] = []
    async with job(recorder=seen.append) as runner, runner.pool("crunch", 1, function="square") as pool:
        await pool.map(range(100))
    assert not [event for event in seen if isinstance(event, CallSpans)]


@pytest.fixture
def spans() -> Spans:
    return Spans()
