"""Channels from worker to worker across the nodes of a real Swarm."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from aioparcs import Address, RemoteError, Task, WorkerLost
from tests.support.jobs import MODULES, module
from tests.support.live import PATIENCE, Cluster
from tests.support.submitted import build, own, running_job, submitted
from tests.support.waiting import until

pytestmark = pytest.mark.one_loop


@pytest.fixture(scope="module")
def peers(cluster: Cluster) -> str:
    return build(own(cluster), MODULES / "peers", "tests-peers")


async def ask(task: Task, *request: Any) -> Any:
    await task.send(list(request))
    return await task.recv()


async def addresses(tasks: list[Task]) -> list[Address]:
    return [*await asyncio.gather(*(ask(task, "where") for task in tasks))]


async def ring(tasks: list[Task], laps: int) -> int:
    places = await addresses(tasks)
    for task in tasks:
        await task.send(["ring", places[(task.rank + 1) % len(tasks)], laps])
    ends = await asyncio.gather(*(task.recv() for task in tasks))
    assert [end[1] for end in ends] == [tasks[task.rank - 1].worker for task in tasks]
    return int(ends[0][0])


@pytest.mark.parametrize("per_container", [1, 10])
async def test_a_token_goes_round_a_ring_of_all_nodes_for_a_runner_outside(
    cluster: Cluster, peers: str, per_container: int
) -> None:
    count = 2 * per_container + 4
    async with running_job(cluster.leader_url, overlay=True) as (runner, _, recorder):
        tasks = await runner.start_many(peers, count, per_container=per_container)
        placed = 3 if per_container == 1 else 2
        await until(lambda: len({event[-1] for event in recorder.events if event[0] == "placed"}) >= placed)
        assert await ring(tasks, 5) == count * 5


async def test_two_services_of_one_job_connect(cluster: Cluster, peers: str) -> None:
    async with running_job(cluster.leader_url, overlay=True) as (runner, _, _):
        here, there = await asyncio.gather(runner.start(peers), runner.start(peers))
        assert await ask(here, "dial", await ask(there, "where")) == there.worker
        assert await ask(there, "accept_peer") == here.worker
        await there.send(["send_to_peer", "hello"])
        assert await ask(here, "recv_from_peer") == "hello"


async def test_a_killed_container_is_lost_to_its_peers(cluster: Cluster, peers: str) -> None:
    async with running_job(cluster.leader_url, overlay=True) as (runner, _, _):
        here, there = await runner.start_many(peers, 2)
        assert await ask(here, "dial", await ask(there, "where")) == there.worker
        await there.send(["die"])
        error, text = await ask(here, "recv_from_peer")
        assert error == "ConnectionLost"
        assert f"worker {there.worker}" in text
        with pytest.raises(WorkerLost):
            await there.recv()


async def test_without_the_overlay_an_error_says_what_to_do(cluster: Cluster, peers: str) -> None:
    async with running_job(cluster.leader_url, overlay=False) as (runner, _, _):
        task = await runner.start(peers)
        await task.send(["where"])
        with pytest.raises(RemoteError, match=r"run the runner inside the overlay .* SwarmEngine\(overlay=True\)"):
            await task.recv()


INSIDE = """
import asyncio, json
from aioparcs import Runner

async def main():
    async with Runner() as runner:
        tasks = await runner.start_many("peers", 3)
        places = []
        for task in tasks:
            await task.send(["where"])
            places.append(await task.recv())
        for task in tasks:
            await task.send(["ring", places[(task.rank + 1) % 3], 4])
        print(json.dumps([(await task.recv())[0] for task in tasks]), flush=True)

asyncio.run(main())
"""


def test_workers_of_a_runner_inside_the_overlay_connect(cluster: Cluster, tmp_path: Path) -> None:
    folder = module(tmp_path, "inside", INSIDE) / "inside"
    with submitted(own(cluster), folder, "tests-peers-inside", "--modules", str(MODULES)) as job:
        assert job.line()[0] == 12
        assert job.process.wait(PATIENCE) == 0
