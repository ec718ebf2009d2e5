"""The calls that run for long: which ones are reported, when they began, and that they are over."""

import asyncio
from time import monotonic

import pytest

from aioparcs.events import CallsRunning, Event, RunningCall
from aioparcs.pool.running import _running
from aioparcs.pool.scheduler import PendingCall, WorkerState, long_calls
from tests.pool.fakes import FakeClient
from tests.support.jobs import job
from tests.support.waiting import until

pytestmark = pytest.mark.one_loop


def workers(*ages: float, now: float, concurrency: int = 1) -> list[WorkerState]:
    """Return workers of which each runs a call, and has another one, since so many seconds."""
    states = []
    for number, age in enumerate(ages):
        state = WorkerState(number, concurrency)
        calls = [PendingCall(FakeClient(2, "f"), i, "f", (), {}) for i in range(2)]
        for i, call in enumerate(calls):
            call.call_id = i
        state.add(calls, now - age)
        states.append(state)
    return states


def test_the_calls_that_run_for_the_longest_are_returned() -> None:
    states = workers(3, 0.5, 9, 1.5, now=10.0)
    assert [(begin, worker, call.index) for begin, worker, call in long_calls(states, 2, 10.0)] == [
        (1, 2, 0),
        (7, 0, 0),
    ]
    assert [worker for _, worker, _ in long_calls(states, 100, 10.0)] == [2, 0, 3]


def test_a_report_has_the_beginning_of_a_long_name() -> None:
    call = PendingCall(FakeClient(1, "f"), 0, "f" * 1000, (), {})
    assert _running(1.0, 3, call) == RunningCall(3, "f" * 200, "item 0: ()", 1.0)


CLOCK = 1.0  # seconds by which the time of a loop may be behind that of the program


class Seen:
    """The reports of calls that run for long."""

    def __init__(self) -> None:
        self.events: list[CallsRunning] = []

    def __call__(self, event: Event) -> None:
        if isinstance(event, CallsRunning):
            self.events.append(event)

    @property
    def calls(self) -> tuple[RunningCall, ...]:
        return self.events[-1].calls if self.events else ()


@pytest.mark.slow
async def test_a_long_call_is_reported_once_and_then_that_it_is_over() -> None:
    seen = Seen()
    async with job(recorder=seen) as runner, runner.pool("crunch", 2, function="sleep") as pool:
        began = monotonic()
        sleeping = asyncio.ensure_future(pool.map([2.5, 0.01, 0.01]))
        await sleeping
        await until(lambda: seen.events and not seen.calls)
    first, _ = seen.events
    (call,) = first.calls
    assert (call.function, call.call) == ("sleep", "item 0: (2.5)")
    assert began - CLOCK <= call.begin <= first.time - 1 + CLOCK


@pytest.mark.slow
async def test_each_of_several_calls_at_once_has_its_own_begin() -> None:
    seen = Seen()
    async with job(calls=seen) as runner, runner.pool("crunch", 1, function="count_concurrent", concurrency=4) as pool:
        first = pool.submit(4)
        await until(lambda: seen.calls)
        second = pool.submit(3)
        await asyncio.gather(first, second)
    one, other = next(event.calls for event in seen.events if len(event.calls) == 2)
    assert other.begin - one.begin > 0.5
    assert not seen.calls
