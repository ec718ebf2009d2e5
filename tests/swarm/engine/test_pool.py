"""Pools on a real Swarm: where their workers are, and what becomes of their items when containers and nodes fail."""

import asyncio
import json
import re
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from aioparcs import CallTimeout, WorkerLost
from aioparcs.engine import WorkerSpec
from aioparcs.events import PoolState
from aioparcs.pool import Pool
from aioparcs.swarm.docker.client import SwarmClient
from aioparcs.swarm.docker.records import SwarmNode
from aioparcs.swarm.engine.placement import workers_per_container
from aioparcs.swarm.engine.service_spec import LAUNCHER_MEMORY
from tests.support.command import COMMAND, execute
from tests.support.jobs import MODULES, EventRecorder, module
from tests.support.live import Cluster, ask, left
from tests.support.submitted import containers, own
from tests.support.swarm_jobs import PATIENCE, SHARED, Job, holding, kill, marks, running, services, until

pytestmark = pytest.mark.one_loop

HANGING = 600.0  # seconds of a call that passes its time limit


async def processes(pool: Pool) -> set[tuple[str, int]]:
    """Return the processes of all workers of the pool, as their containers and ids."""
    found: set[tuple[str, int]] = set()
    while len(found) < pool.size:
        found |= set(await pool.map(range(2000), function="process"))
    return found


# Where workers are, and what a pool gives


async def test_one_container_on_each_node_and_all_results_in_order(cluster: Cluster, job: Job) -> None:
    own(cluster)
    async with job() as runner, runner.pool("crunch", 12) as pool:
        there = await running(cluster, runner)
        assert sorted(one.node for one in there) == list(range(len(cluster.nodes)))
        hosts = await pool.map(range(2000), function="host")
        assert {one.id[:12] for one in there} == set(hosts)

        squares = [i * i for i in range(1000)]
        assert await pool.map(range(1000)) == squares
        assert await pool.starmap(((i, 1) for i in range(100)), function="add") == list(range(1, 101))
        assert [r async for r in pool.imap(range(1000))] == squares
        assert sorted([r async for r in pool.imap_unordered(range(1000))]) == squares
        assert await asyncio.gather(*(pool.submit(i) for i in range(100))) == squares[:100]
        with pytest.raises(ValueError, match=r"in worker crunch:\d+ on node\d: 3 is odd") as caught:
            await pool.map([2, 3, 4], function="refuse_odd")
        assert caught.value.__notes__[-1] == "item 1: (3)"


async def test_every_worker_may_have_a_container_of_its_own_and_run_coroutines_at_once(
    cluster: Cluster, job: Job
) -> None:
    own(cluster)
    async with job() as runner, runner.pool("crunch", 4, per_container=1, concurrency=8) as pool:
        assert len(await running(cluster, runner)) == 4
        assert len(set(await pool.map(range(2000), function="host"))) == 4
        assert max(await pool.map([0.05] * 64, function="count_concurrent")) == 8


# What fails while it works


async def test_an_item_that_kills_its_worker_fails_alone_and_its_container_goes_on(cluster: Cluster, job: Job) -> None:
    own(cluster)
    async with job() as runner, runner.pool("crunch", 6, setup={"factor": 3}) as pool:
        before = await running(cluster, runner), await services(cluster, runner)
        old = await processes(pool)
        results = await pool.starmap([(i, 13) for i in range(500)], function="die_at", return_exceptions=True)
        lost = results[13]
        assert isinstance(lost, WorkerLost)
        assert (lost.call, lost.signal, lost.last_lines) == ("item 13: (13, 13)", signal.SIGKILL, ("13 is my end",))
        assert re.fullmatch(r"crunch:\d on node\d", lost.worker)
        assert str(lost).startswith(f"worker {lost.worker} was killed by SIGKILL, at item 13: (13, 13); its last lines")
        assert results[:13] + results[14:] == [i for i in range(500) if i != 13]

        await until(lambda: pool.size == 6)
        assert await pool.map(range(2000), function="scale") == [3 * i for i in range(2000)]
        new = await processes(pool)
        assert (len(old - new), len(new - old)) == (1, 1), "one has taken the other's place, and works too"
        assert (await running(cluster, runner), await services(cluster, runner)) == before


async def test_an_item_that_always_kills_its_worker_fails_after_its_retries(job: Job) -> None:
    async with job() as runner, runner.pool("crunch", 4, function="die_at", retries=3) as pool:
        results = await pool.starmap([(i, 5) for i in range(100)], return_exceptions=True)
        assert isinstance(results.pop(5), WorkerLost)
        assert results == [i for i in range(100) if i != 5]
        await until(lambda: pool.size == 4)
        assert await pool.submit(1, 0) == 1


async def test_calls_of_a_killed_container_are_repeated_and_it_is_replaced(
    cluster: Cluster, job: Job, folder: Path
) -> None:
    async with job() as runner, holding(runner, folder, 6, retries=1) as pool:
        calls = asyncio.ensure_future(pool.starmap([(SHARED, str(i)) for i in range(60)]))
        await until(lambda: len(marks(folder)) == 6)
        killed, *others = await running(cluster, runner)
        await kill(killed)
        await until(lambda: pool.size < 6)
        (folder / "go").touch()
        assert await calls == [str(i) for i in range(60)]
        begun = marks(folder)
        assert (sorted(begun.values())[-3:], len(begun)) == ([1, 2, 2], 60), "two workers were killed"
        await until(lambda: pool.size == 6)
        assert {one.id for one in others} < {one.id for one in await running(cluster, runner)}


@pytest.mark.alone
@pytest.mark.usefixtures("renewed_node3")
async def test_only_what_ran_on_a_node_that_is_cut_off_is_lost(cluster: Cluster, job: Job, folder: Path) -> None:
    is_lost, count = asyncio.Event(), 2 * len(cluster.nodes)

    async def items() -> AsyncIterator[tuple[str, str]]:
        for i in range(60):
            if i == count:
                await is_lost.wait()
            yield SHARED, str(i)

    async with job(liveness=3.0) as runner, holding(runner, folder, count) as pool:
        calls = asyncio.ensure_future(pool.starmap(items(), return_exceptions=True))
        await until(lambda: len(marks(folder)) == count)
        try:
            await asyncio.to_thread(cluster.nodes[2].cut)
            await until(lambda: pool.size == count - 2)
            is_lost.set()
            (folder / "go").touch()
            results = await calls
        finally:
            await asyncio.to_thread(cluster.nodes[2].restore)
    lost = {i: result for i, result in enumerate(results) if isinstance(result, WorkerLost)}
    assert len(lost) == 2
    for i, error in lost.items():
        assert i < count
        assert re.fullmatch(r"crunch:\d on node3", error.worker)
        assert error.reason == "is lost: its host was silent for 3 s (PARCS_LIVENESS)"
        assert error.call == f"item {i}: ('{SHARED}', '{i}')"
        assert (error.index, error.item) == (i, (SHARED, str(i)))
    assert [result for i, result in enumerate(results) if i not in lost] == [str(i) for i in range(60) if i not in lost]
    assert (len(marks(folder)), set(marks(folder).values())) == (60, {1})


@pytest.mark.alone
async def test_a_pool_works_on_without_the_docker_of_a_node_and_outlives_its_containers(
    cluster: Cluster, job: Job, folder: Path
) -> None:
    count = 2 * len(cluster.nodes)
    async with job() as runner, holding(runner, folder, count, retries=1) as pool:
        names = [str(i) for i in range(4)]
        calls = asyncio.ensure_future(pool.starmap([(SHARED, name) for name in names]))
        await until(lambda: len(marks(folder)) == 4)
        try:
            await asyncio.to_thread(cluster.nodes[1].kill)
            assert await pool.map(range(100), function="square") == [i * i for i in range(100)]
        finally:
            await asyncio.to_thread(cluster.nodes[1].revive)
        await until(lambda: pool.size < count)  # it has ended the containers that it found
        (folder / "go").touch()
        assert await calls == names
        assert await pool.map(range(100), function="square") == [i * i for i in range(100)]


# Limits of calls and workers


async def test_a_call_at_its_time_limit_costs_its_worker_and_no_container(cluster: Cluster, job: Job) -> None:
    own(cluster)
    async with job() as runner, runner.pool("limited", 6, function="hold", timeout=2.0) as pool:
        before = await running(cluster, runner), await services(cluster, runner)
        results = await pool.map([*[0.0] * 20, HANGING, *[0.0] * 20], return_exceptions=True)
        error = results.pop(20)
        assert results == [0.0] * 40
        assert isinstance(error, CallTimeout)
        assert isinstance(error, TimeoutError)
        assert re.fullmatch(r"limited:\d on node\d", error.worker)
        assert (error.call, error.node) == (f"item 20: ({HANGING})", error.worker[-5:])
        assert (error.index, error.item) == (20, HANGING)
        assert "in hold" in error.stack.splitlines()[0]
        assert f"within its time limit of 2 s in worker {error.worker}" in str(error)

        await until(lambda: pool.size == 6)
        assert await pool.map([0.0] * 100) == [0.0] * 100
        assert (await running(cluster, runner), await services(cluster, runner)) == before


async def test_a_worker_with_too_much_memory_is_replaced_in_its_container(cluster: Cluster, job: Job) -> None:
    own(cluster)
    async with job() as runner, runner.pool("limited", 1, function="pid", max_memory="200m") as pool:
        before = await running(cluster, runner)
        pid = await pool.submit()
        assert await pool.submit(300 << 20, function="grow") == pid
        async with asyncio.timeout(PATIENCE):
            while await pool.submit() == pid:
                pass
        assert pool.size == 1
        assert await running(cluster, runner) == before


async def test_workers_are_replaced_after_their_calls_in_their_containers(cluster: Cluster, job: Job) -> None:
    own(cluster)
    async with job() as runner, runner.pool("limited", 3, function="ident", max_calls=10) as pool:
        before = await running(cluster, runner)
        assert await pool.map(range(200)) == list(range(200))
        assert await running(cluster, runner) == before


async def test_a_task_keeps_the_time_limit_of_a_call(job: Job) -> None:
    async with job() as runner, runner.start("limited") as task:
        with pytest.raises(CallTimeout, match=r"the call was not done .* of 1 s in worker limited:0 on node\d"):
            await task.call_within(1.0, "wait", HANGING)
        assert await task.call("ident", 7) == 7
        with pytest.raises(CallTimeout) as caught:
            await task.call_within(1.0, "hold", HANGING)
        assert "in hold" in caught.value.stack
        assert caught.value.node == task.node
        with pytest.raises(WorkerLost, match="a call was not done within its time limit of 1 s"):
            await task.recv()
        await task.kill()


# Its size, its end, and who looks on


async def test_resize_while_it_works_and_the_first_finder_wins(cluster: Cluster, job: Job, folder: Path) -> None:
    recorder = EventRecorder()
    async with job(recorder=recorder) as runner:
        async with holding(runner, folder, 2, progress="finding") as pool:
            squares = pool.imap_unordered(range(1_000_000), function="square")
            for size in (6, 1, 3):
                await pool.resize(size)
                assert pool.size == size
                for _ in range(500):
                    await anext(squares)
            await squares.aclose()
            async for found in pool.imap_unordered([f"{SHARED}/never"] * 2 + [SHARED], function="wait_for"):
                assert found == SHARED
                break
        assert pool.size == 0
        await until(lambda: not containers(cluster, runner.job))
    states: list[PoolState] = [event[1] for event in recorder.events if event[0] == "pooled"]
    last = states[-1]
    assert (last.name, last.failed, last.running, last.workers, last.wanted) == ("finding", 0, 0, 0, 0)
    assert last.done > 1500
    assert {2, 6, 1, 3} <= {state.workers for state in states}


POOLING = """
import json, os
from aioparcs import WorkerLost, run

async def main(runner):
    async with runner.pool("crunch", int(os.environ["P"]), retries=1, setup={"factor": 2}) as pool:
        hosts = set(await pool.map(range(2000), function="host"))
        print(json.dumps([len(hosts), await pool.map(range(5), function="scale")]))
        results = await pool.starmap([(i, 3) for i in range(50)], function="die_at", return_exceptions=True)
        (lost,) = [result for result in results if isinstance(result, WorkerLost)]
        print(json.dumps([lost.worker, lost.call, lost.last_lines]))

run(main)
"""


def test_a_pool_of_a_runner_that_is_on_the_swarm_itself(cluster: Cluster, images: None, tmp_path: Path) -> None:
    main = module(tmp_path, "pooling", POOLING) / "pooling"
    (tmp_path / "crunch").symlink_to(MODULES / "crunch")
    size = f"P={2 * cluster.size}"
    done = execute([*COMMAND, "run", str(main), "--on", "swarm", "-e", size], None, **cluster.environment)
    assert done.returncode == 0, done.stderr
    spread, lost = map(json.loads, done.stdout.splitlines())
    assert spread == [cluster.size, [0, 2, 4, 6, 8]]
    assert re.fullmatch(r"crunch:\d+ on \S+", lost[0])
    assert lost[1:] == ["item 3: (3, 3)", ["3 is my end"]]
    (name,) = re.findall(r"runs as job ([0-9a-f]{8})", done.stderr)
    assert left(cluster, name) == []


# How many workers share a container


@pytest.fixture
def nodes(cluster: Cluster) -> list[SwarmNode]:
    """Return the leader's records of its nodes."""
    return ask(own(cluster), SwarmClient.nodes)


def shared(nodes: list[SwarmNode], count: int, **options: Any) -> int:
    return workers_per_container(WorkerSpec.make("crunch", per_container="auto", **options), count, nodes).per_container


def smaller(node: SwarmNode, share: float) -> SwarmNode:
    """Return the record of a node that has less of everything."""
    there = node["Description"]["Resources"]
    cpus, memory = int(there["NanoCPUs"] * share), int(there["MemoryBytes"] * share)
    return {**node, "Description": {"Resources": {"NanoCPUs": cpus, "MemoryBytes": memory}}}


def test_as_few_containers_as_there_are_nodes(nodes: list[SwarmNode]) -> None:
    assert [shared(nodes, count) for count in (1, 3, 4, 12, 13, 200)] == [1, 1, 2, 4, 5, 67]
    assert shared(nodes, 12, gpus=1) == 1
    assert shared([], 12) == 12, "what Docker says then is the error"
    assert shared([], 12, cpus=1) == 12


def test_the_smallest_node_has_room_for_a_container(nodes: list[SwarmNode]) -> None:
    resources = nodes[0]["Description"]["Resources"]
    cpus, memory = resources["NanoCPUs"] / 1e9, resources["MemoryBytes"]
    assert shared(nodes, 12, cpus=cpus / 4) == 4
    assert shared(nodes, 12, cpus=cpus / 2) == 2
    assert shared(nodes, 12, cpus=2 * cpus) == 1, "which Docker refuses, and says why"
    assert shared(nodes, 12, memory=(memory - LAUNCHER_MEMORY) // 4) == 4
    assert shared(nodes, 12, memory=memory // 4) == 3, "launchers need some too"
    mixed = [*nodes[:2], smaller(nodes[2], 0.5)]
    assert shared(mixed, 12, cpus=cpus / 4) == 2
    assert shared(mixed, 12, cpus=cpus / 4, memory=memory // 4) == 1


@pytest.mark.alone
def test_nodes_that_take_no_containers_are_not_counted(cluster: Cluster, nodes: list[SwarmNode]) -> None:
    drained = nodes[1]["ID"]
    try:
        cluster.docker("node", "update", "--availability", "drain", drained)
        assert shared(ask(cluster, SwarmClient.nodes), 12) == 6
    finally:
        cluster.docker("node", "update", "--availability", "active", drained)
    assert shared(ask(cluster, SwarmClient.nodes), 12) == 4
