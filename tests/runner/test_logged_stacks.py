"""The stacks that the log of a runner has: where its slowest calls are, and where its program is."""

import asyncio
import threading
from pathlib import Path
from time import monotonic

import pytest

from aioparcs.display.place import ProgramPlace
from aioparcs.events import CallsRunning, Event, EventBus, RunningCall, StackSample
from aioparcs.runner.sampling import stacks
from aioparcs.runner.sampling.stacks import StackSampler
from tests.support.jobs import job
from tests.support.waiting import until

pytestmark = [pytest.mark.one_loop]


async def test_the_stack_of_a_call_that_runs_for_long_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stacks, "_PERIOD", 0.02)
    samples: list[StackSample] = []

    def note(event: Event) -> None:
        if isinstance(event, StackSample):
            samples.append(event)

    events = EventBus()
    events.subscribe(note, stacks=True)
    async with job() as runner, runner.pool("crunch", 1, function="hold") as pool:
        sampler = asyncio.create_task(StackSampler(runner._job.registry, events).run())
        call = pool.submit(str(tmp_path), "mark")
        await until((tmp_path / "mark").exists)
        now, (worker,) = monotonic(), runner._job.registry.tasks
        young, old = (RunningCall(number, "hold", "call", now - age) for number, age in ((worker + 1, 1), (worker, 5)))
        await asyncio.sleep(0)  # the sampler listens
        events.publish(CallsRunning(now, 0, (old, young)))
        await until(lambda: samples)
        (tmp_path / "go").touch()
        assert await call == "mark"
        sampler.cancel()
        await asyncio.wait([sampler])
        assert events._subscribers == [note], "a program may have many runners, one after the other"
    assert [sample.worker for sample in samples] == [worker], "the other one has not run for long"
    assert "in wait_for" in samples[0].text
    assert "in hold" in samples[0].text


async def test_where_the_program_is_is_reported_once_and_when_it_has_moved() -> None:
    place = ProgramPlace()
    place.note_loop()
    assert place.read(100.0) is None, "it has just begun"

    async def elsewhere(now: float) -> StackSample | None:
        is_waiting = threading.Event()
        asyncio.get_running_loop().call_soon(is_waiting.set)
        return await asyncio.to_thread(lambda: place.read(now) if is_waiting.wait() else None)

    first = await asyncio.create_task(elsewhere(103.0))
    assert first is not None
    assert (first.worker, first.time) == (None, 103.0)
    assert "in elsewhere" in first.text
    assert await asyncio.create_task(elsewhere(104.0)) is None, "it was looked just now"
    moved = await asyncio.to_thread(place.read, 109.0)
    assert moved is not None
    assert "in elsewhere" not in moved.text
