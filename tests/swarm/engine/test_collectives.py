"""Collective operations over workers on the nodes of a real Swarm, across its networks and without."""

import asyncio
import hashlib
import random
from operator import add
from typing import Any

import pytest

from aioparcs import Task, WorkerLost, barrier, broadcast, gather, reduce, scatter
from tests.support.jobs import MODULES
from tests.support.live import Cluster
from tests.support.submitted import build, own, running_job
from tests.support.waiting import until

pytestmark = pytest.mark.one_loop

MIB = 1 << 20
VALUE = random.Random(1).randbytes(8 * MIB)
WANTED = ["bytes", len(VALUE), hashlib.sha256(VALUE).hexdigest()]


@pytest.fixture(scope="module")
def chorus(cluster: Cluster) -> str:
    return build(own(cluster), MODULES / "chorus", "tests-chorus")


async def request_all(tasks: list[Task], *request: Any) -> None:
    await asyncio.gather(*(task.send(list(request)) for task in tasks))


@pytest.mark.parametrize("overlay, tls", [(True, True), (False, False)], ids=["overlay-tls", "host-plain"])
async def test_all_operations_over_workers_of_three_nodes(
    cluster: Cluster, chorus: str, overlay: bool, tls: bool
) -> None:
    async with running_job(cluster.leader_url, overlay=overlay, tls=tls) as (runner, _, recorder):
        tasks = await runner.start_many(chorus, 12, per_container=4)
        await until(lambda: len({event[-1] for event in recorder.events if event[0] == "placed"}) == 3)
        await until(lambda: all(task.node for task in tasks))
        await request_all(tasks, "recv_many", 1)
        await broadcast(tasks, VALUE)
        assert await gather(tasks) == [WANTED] * 12
        await scatter(tasks, [["echo", task.rank] for task in tasks])
        assert await reduce(tasks, add) == 66
        await request_all(tasks, "wait_at_barriers", 2)
        await barrier(tasks)
        await barrier(tasks)
        assert await gather(tasks) == ["met"] * 12
        assert runner.rejected_connections == 0


async def test_the_first_worker_of_a_node_is_lost_and_the_others_there_have_the_message(
    cluster: Cluster, chorus: str
) -> None:
    async with running_job(cluster.leader_url, overlay=True) as (runner, _, _):
        tasks = await runner.start_many(chorus, 6)  # each in a container of its own, or they would share the message
        await until(lambda: all(task.node for task in tasks))
        lost = next(task for task in tasks if task.node != tasks[0].node)
        others = [task for task in tasks if task is not lost]
        await request_all(others, "recv_many", 1)
        await lost.send(["die"])
        with pytest.raises(WorkerLost, match=lost.name):
            await broadcast(tasks, VALUE)
        assert await gather(others) == [WANTED] * 5
