"""The supervisor of a job, on an engine whose containers are made up."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from aioparcs import Settings, StartError
from aioparcs.engine import LauncherState, Placement, WorkerGroup, WorkerSpec
from aioparcs.events import EventBus
from aioparcs.runner.registry import JobRegistry
from aioparcs.runner.state import JobState, stimuli
from aioparcs.runner.supervisor import WorkerSupervisor
from tests.support.jobs import EventRecorder
from tests.support.waiting import until


class Containers:
    """
    An engine whose containers all end at the same moment.

    Args:
        size: workers of each.
    """

    def __init__(self, size: int = 1) -> None:
        self.size = size
        self.end = asyncio.Event()
        self.released = 0
        self.on_stop: Callable[[], object] = lambda: None

    async def start(self, spec: WorkerSpec, first: int, count: int) -> WorkerGroup:
        numbers = range(first, first + count, self.size)
        return WorkerGroup(spec, first, count, tuple(Placement(number, number, self.size) for number in numbers))

    async def states(self, group: WorkerGroup) -> AsyncIterator[LauncherState]:
        await self.end.wait()
        for placement in group.placements:
            yield LauncherState(placement.launcher, "gone", "ended", 0)

    async def post_mortem(self, launcher: int) -> tuple[str, ...]:
        return ()

    async def stop(self, group: WorkerGroup) -> None:
        self.on_stop()

    async def release(self, group: WorkerGroup) -> None:
        self.released += 1

    def poll_now(self) -> None:
        pass


class SupervisedJob:
    """A supervisor, with what it needs."""

    def __init__(self, engine: Any, settings: Settings | None = None) -> None:
        settings = settings or Settings()
        events = EventBus(EventRecorder())
        self.state = JobState(settings.start_timeout, 10)
        self.registry = JobRegistry("job", self.state, settings, events)
        self.supervisor = WorkerSupervisor(engine, self.registry, self.state, settings, events)


async def test_the_ends_of_many_containers_take_linear_time() -> None:
    engine = Containers()
    job = SupervisedJob(engine)
    await job.supervisor.open()
    await job.supervisor.place(WorkerSpec("m"), 1)
    await job.supervisor.place(WorkerSpec("m"), 800)
    begun = time.process_time()
    engine.end.set()
    await until(lambda: not job.state.launchers)
    assert time.process_time() - begun < 4  # when each end looked at all placements, it took 6 s
    assert engine.released == 2
    await job.supervisor.aclose()


async def test_no_deadline_is_lost_whatever_the_resolution_of_the_loops_timers() -> None:
    """On uvloop they have whole milliseconds: some fire before their deadline, and some are no timers at all."""

    async def time_out(seconds: float) -> None:
        job = SupervisedJob(Containers(), Settings(start_timeout=seconds))
        await job.supervisor.open()
        (worker,) = await job.supervisor.place(WorkerSpec("m"), 1)
        with pytest.raises(StartError, match="was not connected within"):
            await asyncio.wait_for(worker.wait_connected(), 10)
        job.supervisor.handle(stimuli.LauncherFailed(99))
        assert job.state.next_deadline is None
        await job.supervisor.aclose()

    await asyncio.gather(*(time_out(0.02 + 0.00013 * number) for number in range(60)))


async def test_an_action_that_fails_keeps_no_other_from_being_carried_out() -> None:
    contexts: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: contexts.append(context["exception"]))
    job = SupervisedJob(Containers(3))
    await job.supervisor.open()
    first, second, third = await job.supervisor.place(WorkerSpec("m"), 3)
    broken: Any = job.registry.workers
    broken[1] = None
    with pytest.raises(AttributeError, match="fail_start"):
        job.supervisor.handle(stimuli.EngineReported(LauncherState(0, "gone", "ended", 1)))
    (other,) = contexts
    assert "unsent_results" in str(other), "the second error, which is not raised, is reported"
    for worker in (first, third):
        with pytest.raises(StartError, match="ended before it called serve"):
            await asyncio.wait_for(worker.wait_connected(), 10)
        assert worker.state == "gone"
    assert not second.is_connected
    assert not job.state.workers
    assert not job.state.launchers
    await job.supervisor.aclose()


async def test_what_happens_while_it_closes_sets_no_timer() -> None:
    engine = Containers()
    job = SupervisedJob(engine, Settings(start_timeout=0.05))
    await job.supervisor.open()
    await job.supervisor.place(WorkerSpec("m"), 1)
    await job.supervisor.place(WorkerSpec("m"), 1)
    last = max(job.state._workers.starting.values())
    engine.on_stop = lambda: job.supervisor.handle(stimuli.StartFailed(0, "no answer"))
    await job.supervisor.aclose()
    passed = asyncio.Event()
    asyncio.get_running_loop().call_at(last + 0.01, passed.set)
    await passed.wait()
    assert job.state.workers[1].start_error == "", "its deadline has passed, and is no longer kept"
