"""The size of a pool whose user has chosen none."""

import os
from pathlib import Path
from typing import Any

import pytest

from aioparcs import Runner
from aioparcs.cpus import usable_cpus
from aioparcs.engine import WorkerSpec
from aioparcs.swarm.docker.records import SwarmNode
from aioparcs.swarm.engine.placement import workers_for_cpus
from tests.executor import work
from tests.support.engines import command_runner
from tests.support.jobs import MODULES, job, module

CPUS = len(os.sched_getaffinity(0))


async def test_a_pool_has_a_worker_for_each_cpu(runner: Runner) -> None:
    async with runner.pool(work.double) as pool:
        assert pool.size == usable_cpus()
        assert await pool.map(range(20)) == [2 * i for i in range(20)]


async def test_a_pool_has_as_many_workers_as_there_are_cpus_for(runner: Runner) -> None:
    async with runner.pool("crunch", cpus=CPUS) as pool:
        assert pool.size == 1


async def test_none_is_no_size_and_0_is_refused(runner: Runner) -> None:
    async with runner.pool(work.double, None, cpus=CPUS) as pool:
        assert pool.size == 1
    with pytest.raises(ValueError, match="size=0: it must be a whole number, at least 1"):
        runner.pool(work.double, 0)


async def test_a_pool_outside_of_its_runners_block_says_so() -> None:
    with pytest.raises(RuntimeError, match="inside the runner's block"):
        async with Runner(engine="local").pool(work.double):
            raise AssertionError("entered")


BOSS = """
from aioparcs import Service, StartError, serve


class Boss(Service):
    async def run(self) -> None:
        try:
            async with self.pool("crunch") as pool:
                await self.send([pool.size, await pool.map([3])])
        except StartError as error:
            await self.send(error.reason)


serve(Boss)
"""


@pytest.mark.slow
async def test_a_pool_of_a_service_has_a_worker_for_each_cpu(tmp_path: Path) -> None:
    async with job(module(tmp_path, "boss", BOSS), MODULES) as runner, runner.start("boss") as task:
        assert await task.recv() == [usable_cpus(), [9]]


async def test_a_pool_of_a_service_elsewhere_needs_a_size(tmp_path: Path) -> None:
    module(tmp_path, "boss", BOSS)
    async with command_runner(modules=tmp_path) as (runner, _), runner.start("boss") as task:
        assert await task.recv() == "a service doesn't know how many CPUs the cluster has: give its pool a size"


def node(cpus: float, availability: str = "active") -> SwarmNode:
    resources: Any = {"NanoCPUs": int(cpus * 1e9), "MemoryBytes": 1 << 30}
    spec: Any = {"Availability": availability}
    return {"ID": "1", "Spec": spec, "Status": {"State": "ready"}, "Description": {"Resources": resources}}


@pytest.mark.parametrize("cpus, size", [(None, 7), (1, 7), (2, 3), (3, 2), (0.5, 14), (64, 1)])
def test_on_a_swarm_the_cpus_of_the_nodes_that_take_tasks_count(cpus: float | None, size: int) -> None:
    nodes = [node(4), node(3), node(16, "drain")]
    assert workers_for_cpus(WorkerSpec("crunch", cpus=cpus), nodes) == size
    assert workers_for_cpus(WorkerSpec("crunch", cpus=cpus), []) == 1
