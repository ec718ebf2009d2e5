"""The costs of a worker: the pages that its fork copies, and what it takes along from its launcher."""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from aioparcs import Runner
from tests.support.jobs import job, module

# Coverage runs code of its own in each worker.
pytestmark = [
    pytest.mark.one_loop,
    pytest.mark.slow,
    pytest.mark.untraced,
    pytest.mark.skipif(sys.dont_write_bytecode, reason="what a launcher compiles itself lies elsewhere in its memory"),
]

COUNTER = """
import os, resource, sys
from aioparcs import Service, serve
class Counter(Service):
    async def run(self):
        async for _ in self:
            faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
            await self.send([faults, sorted(map(os.readlink, descriptors())), "random" in sys.modules])
def descriptors():
    return [name for name in (f"/proc/self/fd/{number}" for number in range(100)) if os.path.lexists(name)]
serve(Counter)
"""
FUNCTION = """
import resource
from aioparcs import serve
async def faults(_=None):
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
serve(faults)
"""


@pytest.fixture
async def runner(tmp_path: Path) -> AsyncIterator[Runner]:
    """Provide a runner that has started a launcher before, so that no other one compiles what it loads."""
    for name, text in ("first", COUNTER), ("counter", COUNTER), ("function", FUNCTION):
        module(tmp_path, name, text)
    async with job(tmp_path) as runner:
        async with runner.start("first"):
            pass
        yield runner


async def test_workers_that_are_forked_together_copy_few_pages_and_have_nothing_of_each_other(runner: Runner) -> None:
    async with runner.start_many("counter", 20) as tasks:
        await asyncio.gather(*(task.send(None) for task in tasks))
        answers = await asyncio.gather(*(task.recv() for task in tasks))
    faults, opened, random = zip(*answers, strict=True)
    # More than 1,040 of 4 KiB each, while a worker shook hands with code that its launcher had never run.
    assert max(faults) < 1010
    pipes = [{name for name in names if name.startswith("pipe:")} for names in opened]
    shared = set.intersection(*pipes)
    assert len(set.union(*pipes) - shared) == sum(len(names - shared) for names in pipes)
    assert not any(random)


async def test_workers_that_answer_calls_copy_few_pages_either(runner: Runner) -> None:
    async with runner.start_many("function", 20) as tasks:
        faults = await asyncio.gather(*(task.call("faults") for task in tasks))
    # 1,085 and more while a launcher ran a service before its forks, whatever its workers do.
    assert max(faults) < 1065
