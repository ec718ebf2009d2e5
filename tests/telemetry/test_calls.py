"""Spans of calls for OpenTelemetry: one for each call, the child of the span that has made it, by the conventions."""

import asyncio
import subprocess
import sys
from pathlib import Path
from time import time_ns

import pytest
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.trace import SpanKind, StatusCode

from aioparcs import Executor, RemoteError, Runner
from aioparcs.events import Event, PoolProgress, bus
from tests.support.jobs import MODULES, execute, job
from tests.support.telemetry import Telemetry, attributes, parent
from tests.support.waiting import until

SLACK = 20_000_000  # nanoseconds by which the time of a loop may be behind
pytestmark = [pytest.mark.one_loop, pytest.mark.slow]


class Broken(SpanProcessor):
    """A processor of a user that fails for the spans of calls, when they begin or when they end."""

    def __init__(self, place: str) -> None:
        self._place = place

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        self._fail("on_start", span)

    def on_end(self, span: ReadableSpan) -> None:
        self._fail("on_end", span)

    def _fail(self, place: str, span: ReadableSpan) -> None:
        if place == self._place and span.kind is SpanKind.CLIENT:
            raise LookupError(f"no room {place}")


async def test_a_call_of_a_task_is_the_child_of_the_present_span(telemetry: Telemetry) -> None:
    async with job() as runner, runner.start("crunch") as task:
        with telemetry.tracer.start_as_current_span("mine") as mine:
            assert await task.call("square", 3) == 9
            with pytest.raises(ValueError, match="is odd"):
                await task.call("refuse_odd", 3)
            assert await task.call_within(30, "square", 4) == 16
        with pytest.raises(RemoteError, match="xxx"):
            await task.call("x" * 100_000)
    done, failed, limited, unknown = telemetry.calls
    assert unknown.name == attributes(unknown)["rpc.method"] == f"crunch/{'x' * 193}"
    assert {parent(span) for span in (done, failed, limited)} == {mine.get_span_context().span_id}
    assert [span.name for span in (done, failed, limited)] == ["crunch/square", "crunch/refuse_odd", "crunch/square"]
    assert attributes(done) == {"rpc.system.name": "aioparcs", "rpc.method": "crunch/square",
                                "server.address": "crunch", "aioparcs.worker": task.worker}  # fmt: skip
    assert done.status.status_code is StatusCode.UNSET
    assert failed.status.status_code is StatusCode.ERROR
    assert attributes(failed)["error.type"] == "ValueError"
    assert [event.name for event in failed.events] == ["exception"]


async def test_each_call_of_a_pool_is_the_child_of_the_span_that_has_made_it(telemetry: Telemetry) -> None:
    begun = time_ns() - SLACK
    async with job() as runner, runner.pool("crunch", 2, function="sleep") as pool:
        with telemetry.tracer.start_as_current_span("map") as first:
            await pool.map([0.03] * 4)
        with telemetry.tracer.start_as_current_span("submit") as second:
            future = pool.submit(0.03)
        await future
        with telemetry.tracer.start_as_current_span("iterate") as third:
            async for _ in pool.imap_unordered([0.03] * 2):
                pass
    parents = [parent(span) for span in telemetry.calls]
    assert parents == [one.get_span_context().span_id for one in [first] * 4 + [second] + [third] * 2]
    spans = [attributes(span) for span in telemetry.calls]
    assert {span["aioparcs.worker"] for span in spans} == {0, 1}
    assert sorted(span["aioparcs.item"] for span in spans[:4]) == [0, 1, 2, 3]
    assert "aioparcs.item" not in spans[4]
    assert {(span["rpc.method"], span["aioparcs.pool"], span["aioparcs.calls"]) for span in spans} == {
        ("crunch/sleep", "crunch", 1)
    }
    times = [time for span in telemetry.calls for time in (span.start_time or 0, span.end_time or 0)]
    assert all(begun <= time <= time_ns() + SLACK for time in times)
    assert all((span.start_time or 0) <= (span.end_time or 0) for span in telemetry.calls)


async def test_short_calls_are_spans_that_say_how_many_they_are_and_failed_ones_are_apart(telemetry: Telemetry) -> None:
    async with job() as runner, runner.pool("crunch", 1, function="refuse_odd") as pool:
        await pool.map([2] * 100 + [3] + [2] * 100, return_exceptions=True)
    spans = [attributes(span) for span in telemetry.calls]
    assert sum(span["aioparcs.calls"] for span in spans) == 201
    assert len(spans) < 100
    (failed,) = (span for span in spans if "error.type" in span)
    assert (failed["aioparcs.item"], failed["aioparcs.calls"]) == (100, 1)


async def test_short_calls_are_spans_while_the_pool_is_open(telemetry: Telemetry) -> None:
    async with job() as runner, runner.pool("crunch", 1, function="square") as pool:
        await pool.map(range(20))
        await until(lambda: sum(attributes(span)["aioparcs.calls"] for span in telemetry.calls) == 20)
        await pool.map(range(20))
        await until(lambda: sum(attributes(span)["aioparcs.calls"] for span in telemetry.calls) == 40)


async def test_calls_that_a_worker_runs_at_once_begin_when_they_are_sent(telemetry: Telemetry) -> None:
    async with job() as runner, runner.pool("functions", 1, function="wait_coroutine", concurrency=4) as pool:
        await pool.map([0.1] * 4)
    spans = telemetry.calls
    assert sum(attributes(span)["aioparcs.calls"] for span in spans) == 4
    assert max(span.start_time or 0 for span in spans) < min(span.end_time or 0 for span in spans)


async def test_each_try_of_a_call_is_a_span(telemetry: Telemetry) -> None:
    async with job() as runner, runner.pool("crunch", 1, function="refuse_odd", retries=2) as pool:
        with pytest.raises(ValueError, match="is odd"):
            await pool.map([3])
    assert [attributes(span)["aioparcs.calls"] for span in telemetry.calls] == [1] * len(telemetry.calls)
    assert len(telemetry.calls) >= 1


async def test_a_program_without_a_provider_makes_no_spans() -> None:
    assert isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)
    async with job() as runner, runner.pool("crunch", 1, function="square") as pool:
        assert pool._dispatcher._trace is None
        assert await pool.map(range(3)) == [0, 1, 4]


WITHOUT = """
import sys
from aioparcs import run

def loaded(_=None):
    return [name for name in sys.modules if name.startswith("opentelemetry")]

def count(n):
    yield from loaded()

async def main(runner):
    async with runner.pool(loaded, 1) as pool, runner.start(loaded) as task:
        print(await pool.map([1]), await task.call("loaded"), [x async for x in task.stream("count", 1)], loaded())

run(main)
"""


@pytest.mark.fresh
def test_nothing_of_it_is_loaded_by_itself_in_runners_and_workers(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(WITHOUT)
    done = subprocess.run(
        [sys.executable, "main.py"], cwd=tmp_path, check=False, capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "[[]] [] [] []\n", done.stderr


def test_a_provider_that_cannot_be_loaded_is_reported_and_affects_no_call(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(f"from opentelemetry import trace\n{WITHOUT.replace('sys.modules', '[]')}")
    done = execute(tmp_path / "main.py", tmp_path, OTEL_PYTHON_TRACER_PROVIDER="nowhere")
    assert done.stdout == "[[]] [] [] []\n", done.stderr
    assert "the trace of a call failed, the job goes on: StopIteration" in done.stderr


async def test_a_clock_that_is_set_while_a_pool_is_open_is_that_of_later_spans(
    telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    hour = 3_600_000_000_000
    async with job() as runner, runner.pool("crunch", 1, function="sleep") as pool:
        await pool.map([0.02])
        monkeypatch.setattr("aioparcs.pool.telemetry.time_ns", lambda: time_ns() + hour)
        await pool.map([0.02])
    first, second = (span.start_time or 0 for span in telemetry.calls)
    assert hour < second - first < hour + 60_000_000_000


async def test_calls_that_are_made_at_once_do_not_mix_their_parents(telemetry: Telemetry) -> None:
    async with job() as runner, runner.pool("crunch", 2, function="sleep") as pool:

        async def use(name: str) -> int:
            with telemetry.tracer.start_as_current_span(name) as span:
                await pool.map([0.02] * 3)
                return span.get_span_context().span_id

        ids = await asyncio.gather(use("one"), use("other"))
    parents = [parent(span) for span in telemetry.calls]
    assert sorted(parents.count(one) for one in ids) == [3, 3]


def test_a_call_of_an_executor_is_the_child_of_the_span_in_which_it_was_submitted(telemetry: Telemetry) -> None:
    ids = []
    with Executor(1, module=MODULES / "crunch") as executor:
        for number in range(2):
            with telemetry.tracer.start_as_current_span("mine") as span:
                ids.append(span.get_span_context().span_id)
                assert executor.submit("square", number).result() == number**2
        with telemetry.tracer.start_as_current_span("map") as span:
            ids.append(span.get_span_context().span_id)
            results = executor.map("square", [2, 3])
        assert list(results) == [4, 9]
    assert {parent(span) for span in telemetry.calls} == set(ids)


async def fail_after_calls(runner: Runner) -> None:
    async with runner.pool("crunch", 2, function="refuse_odd") as pool:
        assert await pool.map([2] * 50) == [2] * 50
        assert len(await pool.map([3, 2, 3], return_exceptions=True)) == 3
        assert await pool.submit(4) == 4
        raise KeyError("mine")


@pytest.mark.parametrize("place", ["on_start", "on_end"])
async def test_a_processor_that_raises_affects_no_call_and_hides_no_error(
    telemetry: Telemetry, place: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bus, "_reported", set())
    telemetry.provider.add_span_processor(Broken(place))
    events: list[Event] = []
    async with asyncio.timeout(20), job(recorder=events.append) as runner:
        with pytest.raises(KeyError, match="mine"):
            await fail_after_calls(runner)
        async with runner.pool("crunch", 1, function="sleep") as pool:
            assert len(await pool.map([0.02] * 3)) == 3
        async with runner.start("crunch") as task:
            assert await task.call("square", 3) == 9
    assert len({event.state.id for event in events if isinstance(event, PoolProgress) and event.state.is_over}) == 2
    (line,) = [line for line in capfd.readouterr().err.splitlines() if "no room" in line]
    assert line.startswith(f"the trace of a call failed, the job goes on: LookupError: no room {place} (")
