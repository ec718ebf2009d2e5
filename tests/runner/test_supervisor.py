"""The supervisor of a large job, on an engine whose containers are made up."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

from aioparcs import Settings
from aioparcs.engine import LauncherState, Placement, WorkerGroup, WorkerSpec
from aioparcs.events import EventBus
from aioparcs.runner.registry import JobRegistry
from aioparcs.runner.state import JobState
from aioparcs.runner.supervisor import WorkerSupervisor
from tests.support.jobs import Witness
from tests.support.waiting import until


class Containers:
    """An engine with a container for each worker, all of which end at the same moment."""

    def __init__(self) -> None:
        self.end = asyncio.Event()
        self.released = 0

    async def start(self, spec: WorkerSpec, first: int, count: int) -> WorkerGroup:
        numbers = range(first, first + count)
        return WorkerGroup(spec, first, count, tuple(Placement(number, number, 1) for number in numbers))

    async def states(self, group: WorkerGroup) -> AsyncIterator[LauncherState]:
        await self.end.wait()
        for placement in group.placements:
            yield LauncherState(placement.launcher, "gone", "ended", 0)

    async def post_mortem(self, launcher: int) -> tuple[str, ...]:
        return ()

    async def release(self, group: WorkerGroup) -> None:
        self.released += 1

    def poll_now(self) -> None:
        pass


async def test_the_ends_of_many_containers_take_time_in_proportion() -> None:
    engine: Any = Containers()
    events = EventBus(Witness())
    state = JobState(60.0, 10)
    registry = JobRegistry("job", state, Settings(), events)
    supervisor = WorkerSupervisor(engine, registry, state, Settings(), events)
    supervisor.open()
    await supervisor.place(WorkerSpec("m"), 1)
    await supervisor.place(WorkerSpec("m"), 800)
    begun = time.process_time()
    engine.end.set()
    await until(lambda: not state.launchers)
    assert time.process_time() - begun < 4  # when each end looked at all placements, it took 6 s
    assert engine.released == 2
    await supervisor.aclose()
