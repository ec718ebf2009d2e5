"""The trace of tasks, on real workers: their calls, and those that run for long."""

import asyncio
import os
import signal

import pytest

from aioparcs import ParcsError, RemoteError, WorkerLost
from aioparcs.events import CallSpan, CallSpans, CallsRunning, Event, RunningCall
from tests.support.jobs import job

pytestmark = [pytest.mark.one_loop, pytest.mark.slow]


class Calls:
    """The spans of calls, and the reports of those that run for long."""

    def __init__(self) -> None:
        self.spans: list[CallSpan] = []
        self.reports: list[tuple[RunningCall, ...]] = []
        self.reported = asyncio.Event()

    def __call__(self, event: Event) -> None:
        match event:
            case CallSpans():
                assert event.pool is None
                self.spans += event.spans
            case CallsRunning():
                assert event.pool is None
                self.reports.append(event.calls)
                self.reported.set()


@pytest.fixture
def calls() -> Calls:
    return Calls()


async def test_calls_of_tasks_are_spans(calls: Calls) -> None:
    async with job(calls=calls) as runner, runner.start("crunch") as task:
        for n in range(50):
            assert await task.call("square", n) == n * n
        await task.call("sleep", 0.05)
        await task.call_within(5, "sleep", 0.06)
        with pytest.raises(RemoteError, match="7 is odd"):
            await task.call("refuse_odd", 7)
    counts = {"square": 50, "sleep": 2, "refuse_odd": 1}
    for function, count in counts.items():
        assert sum(span.calls for span in calls.spans if span.function == function) == count
    listed = {span.call: span for span in calls.spans if span.call}
    assert listed["call of sleep: (0.05)"].busy >= 0.04
    assert listed["call of sleep: (0.06)"].busy >= 0.05
    assert "7 is odd" in listed["call of refuse_odd: (7)"].error
    assert len(calls.spans) < 50, "short ones are merged"
    assert calls.reports == []


async def test_calls_that_run_for_long_are_reported_once_and_when_they_end(calls: Calls) -> None:
    async with job(calls=calls) as runner, runner.start("crunch") as task:
        hanging = asyncio.create_task(task.call("sleep", 60))
        await calls.reported.wait()
        ((running,),) = calls.reports
        assert (running.worker, running.function, running.call) == (task.worker, "sleep", "call of sleep: (60)")
        calls.reported.clear()
        hanging.cancel()
        await calls.reported.wait()
        assert calls.reports == [(running,), ()]
        await task.kill()
    assert [(span.failed, span.cancelled) for span in calls.spans] == [(0, 1)]


async def test_nothing_is_noted_for_those_who_do_not_ask() -> None:
    async with job() as runner, runner.start("crunch") as task:
        assert await task.call("square", 3) == 9
        assert task.handle.trace is None


async def test_a_call_that_is_cut_off_by_the_end_of_its_runner_is_over(calls: Calls) -> None:
    async with job(calls=calls) as runner:
        task = await runner.start("crunch")
        hanging = asyncio.create_task(task.call("sleep", 60))
        await calls.reported.wait()
        await task.kill()
        with pytest.raises(ParcsError):
            await hanging
    assert calls.reports[-1] == ()
    assert [(span.failed, span.cancelled) for span in calls.spans] == [(0, 1)]


async def test_a_call_whose_worker_is_killed_is_lost(calls: Calls) -> None:
    async with job(calls=calls) as runner:
        task = await runner.start("crunch")
        pid = await task.call("pid")
        hanging = asyncio.create_task(task.call("sleep", 60))
        await calls.reported.wait()
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(WorkerLost):
            await hanging
    (span,) = [span for span in calls.spans if span.function == "sleep"]
    assert (span.failed, span.lost, span.cancelled) == (1, 1, 0)
    assert "SIGKILL" in span.error
