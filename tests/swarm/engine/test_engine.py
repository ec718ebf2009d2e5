"""The swarm engine on a real Swarm: the same runners and services as on one machine."""

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

from aioparcs import Runner, SettingError, StartError, Task
from aioparcs.swarm.docker import client
from aioparcs.swarm.docker.records import SwarmTask
from tests.support.jobs import EventRecorder, module
from tests.support.live import Cluster, ask
from tests.support.submitted import build, own, running_job
from tests.support.swarm_jobs import Job
from tests.support.waiting import until

pytestmark = pytest.mark.one_loop


async def _who(task: Task) -> list[int]:
    await task.send(["who"])
    return list(await task.recv())


async def _services(cluster: Cluster, runner: Runner) -> list[Any]:
    return await asyncio.to_thread(ask, cluster, lambda swarm: swarm.services(runner.job))


async def test_the_leaders_work_for_a_start_does_not_grow_with_earlier_starts(
    cluster: Cluster, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests: list[list[int]] = []
    tasks = client.SwarmClient.tasks

    async def counted(swarm: client.SwarmClient, job: str | None = None) -> list[SwarmTask]:
        found = await tasks(swarm, job)
        requests[-1].append(len(found))
        return found

    monkeypatch.setattr(client.SwarmClient, "tasks", counted)
    async with job() as runner:
        for _ in range(12):
            requests.append([])
            async with runner.start("talker") as task:
                await _who(task)
        services = await _services(cluster, runner)
    first, last = requests[:6], requests[6:]
    assert len(services) <= 2, "services of workers that have ended are removed"
    # Docker shows the tasks of a removed service for a few seconds more.
    assert max(requests[-1], default=0) < 12, "an answer has no tasks of all workers that there ever were"
    assert sum(map(len, last)) <= 4 * sum(map(len, first)) + 12, "how often it asks is a matter of the machine's speed"


async def test_workers_are_spread_over_the_nodes_and_know_their_placement(cluster: Cluster, job: Job) -> None:
    recorder = EventRecorder()
    async with job(recorder=recorder) as runner, runner.start_many("talker", 6) as tasks:
        answers = [await _who(task) for task in tasks]
        assert [[rank, size, worker] for rank, size, worker, *_ in answers] == [[i, 6, i] for i in range(6)]
        await until(lambda: all(task.node for task in tasks))
        assert len({task.node for task in tasks}) == min(6, await asyncio.to_thread(lambda: cluster.size))
        assert re.fullmatch(r"talker:0 on node\d+", tasks[0].name)
        (service,) = await _services(cluster, runner)
        assert service["Spec"]["Name"] == f"parcs-{runner.job}_talker-0"
        assert "@sha256:" in service["Spec"]["TaskTemplate"]["ContainerSpec"]["Image"]
    seen = {event[0] for event in recorder.events} - {"waiting"}  # a slow node pulls the image for seconds
    assert seen == {"started", "placed", "connected", "ended"}


async def test_many_starts_at_once(cluster: Cluster, job: Job) -> None:
    async with job() as runner:
        tasks = await asyncio.gather(*(runner.start("talker") for _ in range(8)))
        assert [await _who(task) for task in tasks]
        assert len(await _services(cluster, runner)) == 8
        await asyncio.gather(*(task.shutdown() for task in tasks))


async def test_workers_that_share_containers(cluster: Cluster, job: Job) -> None:
    async with job() as runner, runner.start_many("talker", 7, per_container=3) as tasks:
        answers = [await _who(task) for task in tasks]
        assert [worker for _, _, worker, *_ in answers] == list(range(7))
        (service,) = await _services(cluster, runner)
        assert service["Spec"]["Mode"]["Replicated"]["Replicas"] == 3
        assert len({(task.node, launcher) for task, (*_, launcher) in zip(tasks, answers, strict=True)}) <= 3


async def test_a_runner_outside_with_workers_on_the_overlay(cluster: Cluster, job: Job) -> None:
    async with job(overlay=True) as runner, runner.start_many("talker", 3) as tasks:
        assert [await _who(task) for task in tasks]
        (service,) = await _services(cluster, runner)
        assert len(service["Spec"]["TaskTemplate"]["Networks"]) == 1
    async with job() as runner, runner.start("talker") as task:
        assert await _who(task)
        (service,) = await _services(cluster, runner)
        assert not service["Spec"]["TaskTemplate"].get("Networks")


async def test_output_and_progress_arrive(job: Job) -> None:
    recorder = EventRecorder()
    async with job(recorder=recorder) as runner, runner.start("talker") as task:
        await task.send(["print_lines", "one", "two"])
        assert await task.recv() == "printed"
        await task.send(["report_progress", 1.0, 4.0])
        assert await task.recv() == "reported"
        await until(lambda: recorder.lines.get(0) == ["one", "two"])
        await until(lambda: ("progress", "talker", 0, 1.0, 4.0) in recorder.events)


async def test_environment_variables_reach_workers_unchanged(job: Job) -> None:
    value = "{{.Task.ID}} {{ $HOME = 'x'"
    async with job() as runner, runner.start("talker", env={"GREETING": value}) as task:
        await task.send(["environment", "GREETING"])
        assert await task.recv() == value


async def test_limits_are_the_container_s_and_reserved(cluster: Cluster, job: Job) -> None:
    async with job() as runner, runner.start("probe", cpus=0.5, memory="64m"):
        (service,) = await _services(cluster, runner)
        resources = service["Spec"]["TaskTemplate"]["Resources"]
        assert resources["Limits"]["NanoCPUs"] == resources["Reservations"]["NanoCPUs"] == 500_000_000
        assert resources["Limits"]["MemoryBytes"] >= 64 << 20


async def test_docker_s_own_options(cluster: Cluster, job: Job) -> None:
    options = {
        "constraints": ["node.hostname==node2"],
        "preferences": ["node.labels.rack"],
        "mounts": ["/etc/hostname:/parcs/hostname:ro"],
        "networks": ["parcs"],
        "labels": {"team": "blue"},
    }
    async with job() as runner, runner.start("talker", swarm=options) as task:
        await until(lambda: task.node == "node2")
        (service,) = await _services(cluster, runner)
        assert service["Spec"]["Labels"]["team"] == "blue"
        assert service["Spec"]["TaskTemplate"]["Networks"]


@pytest.mark.parametrize(
    "options", [{"constraint": []}, {"constraints": "node.role==worker"}, {"labels": {"a": 1}}, {"mounts": ["a:b:c:d"]}]
)
async def test_options_that_make_no_sense(job: Job, options: dict[str, Any]) -> None:
    async with job() as runner:
        with pytest.raises(SettingError, match="swarm="):
            await runner.start("talker", swarm=options)


async def test_enough_workers_to_begin_with(job: Job) -> None:
    async with job() as runner, runner.start_many("talker", 4, min_workers=2) as tasks:
        assert len(tasks) >= 2
    async with job(start_timeout=3) as runner:
        with pytest.raises(StartError, match="only 0 of min_workers=1 started: "):
            await runner.start_many("talker", 2, min_workers=1, memory="900g")


async def test_an_image_by_its_name(cluster: Cluster, job: Job) -> None:
    async with job() as runner, runner.start(f"{cluster.registry}/talker:latest") as task:
        assert await _who(task)


ENDING = """
import atexit, os
from pathlib import Path
from aioparcs import serve
def setup(folder):
    global name, file
    name = f"{folder}/{os.uname().nodename}-{os.getpid()}"
    file = open(f"{name}.open", "w")
    file.write("written")
    atexit.register(lambda: Path(f"{name}.atexit").write_text("ran"))
def square(n):
    breakpoint()
    return n * n
def teardown():
    Path(f"{name}.teardown").write_text("ran")
    raise RuntimeError("too late to matter")
serve(square, setup, teardown)
"""


@pytest.fixture(scope="module")
def ending(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = module(tmp_path_factory.mktemp("modules"), "ending", ENDING) / "ending"
    return build(own(cluster), folder, "tests-ending")


@pytest.mark.parametrize("per_container", [1, 3])
async def test_workers_in_containers_tear_down_and_run_their_exit_functions(
    cluster: Cluster, ending: str, tmp_path: Path, per_container: int
) -> None:
    tmp_path.chmod(0o777)  # noqa: ASYNC240  # quick
    options: dict[str, Any] = {
        "per_container": per_container,
        "setup": {"folder": "/shared"},
        "swarm": {"mounts": [f"{tmp_path}:/shared"]},
    }
    async with running_job(cluster.leader_url) as (runner, _, recorder), runner.pool(ending, 3, **options) as pool:
        assert await pool.map(range(100)) == [n * n for n in range(100)]
        await pool.resize(2)
    files = sorted((path.suffix, path.read_text()) for path in tmp_path.iterdir())  # noqa: ASYNC240  # quick
    assert files == [(".atexit", "ran")] * 3 + [(".open", "written")] * 3 + [(".teardown", "ran")] * 3
    printed = [line for lines in recorder.lines.values() for line in lines]
    assert printed.count("RuntimeError: too late to matter") == 3
    assert {line for line in printed if "breakpoint()" in line} == {
        "warning: breakpoint() at main.py:12 does nothing: its runner has no terminal (only a runner with the local "
        "engine, started from one, does); debugpy can attach to a worker anywhere"
    }
