"""Connections to a runner that its engine knows nothing of."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

from aioparcs import Runner, Task
from aioparcs.engine import Job
from aioparcs.local import LocalEngine
from aioparcs.transport import dial
from tests.support.jobs import MODULES, EventRecorder, job

__all__ = ["ExposedEngine", "RunningJob", "Streams", "check_echo", "dialled", "running_job"]

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class ExposedEngine(LocalEngine):
    """The local engine, which shows its job: the address and the token."""

    job: Job

    async def open(self, job: Job) -> None:
        self.job = job
        await super().open(job)


class RunningJob(NamedTuple):
    runner: Runner
    job: Job
    recorder: EventRecorder


@asynccontextmanager
async def running_job(*modules: Path, **settings: Any) -> AsyncIterator[RunningJob]:
    recorder, engine = EventRecorder(), ExposedEngine(list(modules) or [MODULES])
    async with job(recorder=recorder, engine=engine, **settings) as runner:
        yield RunningJob(runner, engine.job, recorder)


@asynccontextmanager
async def dialled(job: Job) -> AsyncIterator[Streams]:
    reader, writer = await dial(job.address)
    try:
        yield reader, writer
    finally:
        writer.close()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)


async def check_echo(task: Task) -> None:
    await task.send(["echo", "still here"])
    assert await task.recv() == "still here"
