"""A job as others see it: one stack of Docker's, under the labels that Swarmpit and Portainer read too."""

import asyncio
import json

import pytest

from aioparcs import Task, WorkerLost
from tests.support.jobs import MODULES
from tests.support.live import Cluster, left
from tests.support.submitted import build, containers, own, running_job
from tests.support.swarm_jobs import PATIENCE

pytestmark = pytest.mark.one_loop

STACK = "com.docker.stack.namespace"


@pytest.fixture(scope="module")
def talker(cluster: Cluster) -> str:
    return build(own(cluster), MODULES / "talker", "tests-grouping")


async def docker(cluster: Cluster, *arguments: str) -> list[str]:
    return (await asyncio.to_thread(cluster.docker, *arguments)).splitlines()


async def answers(task: Task) -> None:
    await task.send(["echo", "here"])
    assert await task.recv() == "here"


async def test_docker_shows_a_job_as_a_stack(cluster: Cluster, talker: str) -> None:
    async with running_job(cluster.leader_url) as (runner, job, _):
        tasks = [*await runner.start_many(talker, 2), await runner.start(talker)]
        stack = f"parcs-{job.id}"
        stacks = await docker(cluster, "stack", "ls", "--format", "{{.Name}} {{.Services}}")
        assert f"{stack} 2" in stacks
        names = [f"{stack}_talker-0.1", f"{stack}_talker-0.2", f"{stack}_talker-2.1"]
        running, lines = [[name, "Running"] for name in names], list[str]()
        async with asyncio.timeout(PATIENCE):  # a worker may dial before its node has told that its container runs
            while sorted(line.split()[:2] for line in lines) != running:
                lines = await docker(cluster, "stack", "ps", stack, "--format", "{{.Name}} {{.CurrentState}}")
        services = await docker(cluster, "stack", "services", stack, "--format", "{{.Name}} {{.Replicas}}")
        assert sorted(services) == [f"{stack}_talker-0 2/2", f"{stack}_talker-2 1/1"]
        await asyncio.gather(*map(answers, tasks))
    assert await asyncio.to_thread(left, cluster, job.id) == []
    assert stack not in await docker(cluster, "stack", "ls", "--format", "{{.Name}}")


async def test_everything_of_a_job_has_the_label_of_its_stack_and_the_network_has_not(
    cluster: Cluster, talker: str
) -> None:
    async with running_job(cluster.leader_url, overlay=True) as (runner, job, _):
        await runner.start_many(talker, 2)
        stack = f"parcs-{job.id}"
        ours = {STACK: stack, "io.aioparcs.job": job.id}
        (service,) = await docker(cluster, "service", "ls", "--quiet", "--filter", f"label={STACK}={stack}")
        (spec,) = await docker(cluster, "service", "inspect", "--format", "{{json .Spec}}", service)
        found = json.loads(spec)
        assert found["Labels"].items() >= ours.items()
        assert found["TaskTemplate"]["ContainerSpec"]["Labels"].items() >= ours.items()
        there = await asyncio.to_thread(containers, cluster, job.id)
        assert len(there) == 2
        for container in there:
            labels = await asyncio.to_thread(container.inspect, "{{json .Config.Labels}}")
            assert json.loads(labels).items() >= ours.items()
        (secret,) = await docker(cluster, "secret", "inspect", "--format", "{{json .Spec.Labels}}", f"{stack}_token")
        assert json.loads(secret).items() >= ours.items()
        (network,) = await docker(cluster, "network", "inspect", "--format", "{{json .Labels}}", "parcs")
        assert STACK not in (json.loads(network) or {})


async def test_removing_the_stack_ends_the_job_and_reaches_the_runner(cluster: Cluster, talker: str) -> None:
    async with running_job(cluster.leader_url, overlay=True) as (runner, job, _):
        tasks = [*await runner.start_many(talker, 2), await runner.start(talker)]
        await asyncio.gather(*map(answers, tasks))
        removed = await docker(cluster, "stack", "rm", f"parcs-{job.id}")
        assert sum(line.startswith("Removing service") for line in removed) == 2
        assert f"Removing secret parcs-{job.id}_token" in removed
        for task in tasks:
            with pytest.raises(WorkerLost):
                async with asyncio.timeout(PATIENCE):
                    await task.recv()
    assert await asyncio.to_thread(left, cluster, job.id) == []
    assert await docker(cluster, "network", "ls", "--quiet", "--filter", "name=parcs"), "all jobs share it"
