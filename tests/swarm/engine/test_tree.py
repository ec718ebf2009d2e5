"""Services that start services on a real Swarm: across its nodes, shown as a tree, and nothing left of a branch."""

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aioparcs import Task, WorkerLost
from tests.support.command import COMMAND, execute
from tests.support.jobs import MODULES, EventRecorder, module
from tests.support.live import Cluster, left
from tests.support.submitted import containers, own, submitted
from tests.support.swarm_jobs import Job

pytestmark = pytest.mark.one_loop

PATIENCE = 60.0  # seconds: Docker takes some to start a container, and to end one


@pytest.fixture(scope="module")
def images(cluster: Cluster) -> None:
    """Build images of the modules that start each other, and push them."""
    command = [*COMMAND, "build", "tree", "functions", "limited", "--modules", str(MODULES), "--push"]
    done = execute(command, None, **cluster.environment)
    assert done.returncode == 0, done.stderr


async def ask(task: Task, *request: Any) -> Any:
    await task.send(list(request))
    return await task.recv()


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not await asyncio.to_thread(condition):  # noqa: ASYNC110  # Docker has no event for it
            await asyncio.sleep(0.2)


async def places(root: Task, count: int) -> list[str]:
    """Return the nodes of the workers that a service has started; they are polled from Docker."""
    async with asyncio.timeout(PATIENCE):
        while not all(nodes := [(await ask(root, "describe_child", child))[1] for child in range(count)]):  # noqa: ASYNC110
            await asyncio.sleep(0.2)
    return nodes


def over(recorder: EventRecorder) -> set[int]:
    return {event[2] for event in recorder.events if event[0] in ("ended", "stopped")}


def services(cluster: Cluster, job: str) -> set[str]:
    """Name the job's Swarm services."""
    mark = ("--filter", f"label=io.aioparcs.job={job}")
    names = cluster.docker("service", "ls", "--format", "{{.Name}}", *mark).split()
    return {name.removeprefix(f"parcs-{job}_") for name in names}


def ps(cluster: Cluster, *arguments: str) -> str:
    done = execute([*COMMAND, "ps", *arguments], None, **cluster.environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


async def test_a_tree_across_nodes_is_shown_as_one_and_its_services_end_with_its_branches(
    cluster: Cluster, job: Job
) -> None:
    async with job(overlay=True) as runner:
        root = await runner.start("tree")
        await ask(root, "begin", 3, "tree", {"env": {"X": "1"}})
        await ask(root, "begin", 2, "tree", {"per_container": 2})
        await ask(root, "request_child", 4, "start_chain", 1)
        nodes = {*await places(root, 5), root.node}
        assert len(nodes) == len(cluster.docker("node", "ls", "--quiet").split())
        assert await ask(root, "request_child", 1, "who") == [2, 1, 3]

        lines = (await asyncio.to_thread(ps, cluster, runner.job)).splitlines()
        assert lines[0].startswith(f"{runner.job}  running, ")
        assert [line.partition("  node")[0] for line in lines[1:]] == [
            "└── tree:0", "    ├── tree:1", "    ├── tree:2", "    ├── tree:3", "    └── tree:4-5", "        └── tree:6"
        ]  # fmt: skip
        assert lines[-1].endswith("  running  started by worker 5")
        (found,) = json.loads(await asyncio.to_thread(ps, cluster, runner.job, "--json"))
        assert [(one["workers"], one["parent"]) for one in found["workers"]] == [
            ([0], None), ([1], 0), ([2], 0), ([3], 0), ([4, 5], 0), ([6], 5)
        ]  # fmt: skip

        assert services(cluster, runner.job) == {"tree-0", "tree-1", "tree-4", "tree-5"}
        for child in range(3):
            assert await ask(root, "shut_down_child", child) == "gone"
        await until(lambda: services(cluster, runner.job) == {"tree-0", "tree-4", "tree-5"})
        assert await ask(root, "shut_down_child", 4) == "gone"  # and its own worker with it
        await until(lambda: services(cluster, runner.job) == {"tree-0", "tree-4"})
        assert await ask(root, "request_child", 3, "echo", "here") == "here"


async def test_a_branch_that_is_killed_leaves_nothing_while_the_job_goes_on(cluster: Cluster, job: Job) -> None:
    own(cluster)
    async with job(overlay=True) as runner:
        root, other = await asyncio.gather(runner.start("tree"), runner.start("tree"))
        await asyncio.gather(ask(root, "start_chain", 2), ask(other, "start_chain", 1))
        first = next(
            one
            for one in await asyncio.to_thread(containers, cluster, runner.job)
            if json.loads(one.inspect("{{json .Config.Labels}}"))["io.aioparcs.workers"] == f"{root.worker},1,1"
        )
        await asyncio.to_thread(cluster.docker, "kill", first.id, node=first.node)
        with pytest.raises(WorkerLost, match="SIGKILL"):
            await root.recv()
        # The container that failed can be looked at until the job ends; what grew from it is gone.
        await until(lambda: len(services(cluster, runner.job)) == 3)
        await until(lambda: len(containers(cluster, runner.job)) == 2)
        (found,) = json.loads(await asyncio.to_thread(ps, cluster, runner.job, "--json"))
        states = {one["workers"][0]: (one["state"], one["error"]) for one in found["workers"]}
        assert states[root.worker] == ("gone", "was killed by SIGKILL")
        assert await ask(other, "request_child", 0, "echo", "here") == "here"


@pytest.mark.alone
@pytest.mark.usefixtures("renewed_node3")
async def test_an_unreachable_node_ends_the_branches_of_its_workers(cluster: Cluster, job: Job) -> None:
    nodes, recorder = own(cluster).nodes, EventRecorder()
    node, count = nodes[2], len(nodes)
    async with job(overlay=True, liveness=3.0, recorder=recorder) as runner:
        roots = await runner.start_many("tree", count)
        for root in roots:
            await ask(root, "begin", count, "tree", {})
        await until(lambda: {root.node for root in roots} == {one.name for one in nodes})
        far, near = sorted(roots, key=lambda root: root.node != "node3")[:2]
        child = (await places(near, count)).index("node3")
        branch = [await ask(far, "request_child", number, "who") for number in range(count)]
        try:
            await asyncio.to_thread(node.cut)
            worker, reason, *_ = await ask(near, "wait_lost", child)
            assert worker.endswith(" on node3")
            assert reason == "is lost: its host was silent for 3 s (PARCS_LIVENESS)"
            with pytest.raises(WorkerLost, match="on node3 is lost"):
                await far.recv()
            await until(lambda: {worker for worker, *_ in branch} <= over(recorder))
            assert await ask(near, "request_child", (child + 1) % count, "echo", "here") == "here"
        finally:
            await asyncio.to_thread(node.restore)


INSIDE = """
import asyncio, json
from aioparcs import Runner

async def main():
    async with Runner() as runner, runner.start("tree") as root:
        await root.send(["start_chain", 2])
        print(json.dumps(len(await root.recv())), flush=True)
        await asyncio.sleep(600)

asyncio.run(main())
"""


def test_the_tree_of_a_runner_on_the_cluster_ends_with_it(cluster: Cluster, tmp_path: Path) -> None:
    folder = module(tmp_path, "inside", INSIDE) / "inside"
    with submitted(own(cluster), folder, "tests-tree-inside", "--modules", str(MODULES)) as job:
        assert job.line() == 3
        name = job.job
        lines = ps(cluster, name).splitlines()
        assert "service on node" in lines[0]
        assert [line.partition("  node")[0] for line in lines[1:]] == [
            "└── tree:0", "    └── tree:1", "        └── tree:2"
        ]  # fmt: skip
        cluster.docker("service", "rm", f"parcs-{name}_runner")
        end = time.monotonic() + PATIENCE
        while there := containers(cluster, name):
            assert time.monotonic() < end, there
        job.process.wait(PATIENCE)
    assert left(cluster, name) == []


async def test_a_pool_in_a_service(job: Job) -> None:
    async with job(overlay=True) as runner, runner.start("tree") as root:
        assert await ask(root, "map_squares", "functions", 5) == [1, 2, 3, 4, 5]


async def test_a_pool_in_a_service_keeps_its_limits(job: Job) -> None:
    async with job(overlay=True) as runner, runner.start("tree") as root:
        results = await ask(root, "map_within", "limited", 1.0, [*[0.0] * 6, 600.0, *[0.0] * 6])
        late = results.pop(6)
        assert late.startswith("item 6: (600.0) was not done within its time limit of 1 s in worker limited:")
        assert "in hold" in late
        assert results == [0.0] * 12


async def test_without_the_overlay_network_a_service_cannot_start_services(job: Job) -> None:
    async with job(overlay=False) as runner, runner.start("tree") as root:
        _, reason, _ = await ask(root, "try_start", "tree", {})
        assert "other workers can't reach this worker, which is not on their network" in reason
        assert "SwarmEngine(overlay=True)" in reason


async def test_a_missing_image_is_the_same_error_in_a_service_as_in_the_runner(cluster: Cluster, job: Job) -> None:
    async with job(overlay=True) as runner, runner.start("tree") as root:
        _, reason, _ = await ask(root, "try_start", "absent", {})
        assert f"start an image by its reference, such as {cluster.registry}/absent:latest" in reason
        _, reason, _ = await ask(root, "try_start", "registry:5000/tree", {})
        assert reason.startswith("services start modules by their names")


async def test_services_of_workers_that_have_ended_do_not_wait_for_the_end_of_the_job(
    cluster: Cluster, job: Job
) -> None:
    async with job() as runner:
        async with runner.start_many("tree", 3, per_container=2) as tasks:
            await asyncio.gather(*(ask(task, "pid") for task in tasks))
            assert services(cluster, runner.job) == {"tree-0"}
        await until(lambda: services(cluster, runner.job) == set())
        await until(lambda: containers(cluster, runner.job) == [])
        async with runner.pool("functions", 2, per_container=1) as pool:
            assert await pool.map(range(3), function="add") == [1, 2, 3]
            for _ in range(3):  # until both have died, and with one of them the last in its container
                with pytest.raises(WorkerLost):
                    await pool.submit(3, function="vanish")
            assert await pool.map(range(3), function="add") == [1, 2, 3]
            assert services(cluster, runner.job) == {"functions-2"}
        await until(lambda: services(cluster, runner.job) == set())
