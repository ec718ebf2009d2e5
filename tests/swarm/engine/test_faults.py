"""Faults on a real Swarm: their errors, how soon they are raised, and that nothing of the job is left."""

import asyncio
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import pytest

from aioparcs import ClusterError, RemoteError, Runner, SettingError, StartError, Task, WorkerLost
from aioparcs.swarm import SwarmEngine
from tests.cluster import Cluster as OwnCluster
from tests.cluster import Node
from tests.support.command import COMMAND, EXAMPLES, execute
from tests.support.jobs import ENVIRONMENT, MODULES, EventRecorder
from tests.support.live import Cluster, ask, left
from tests.support.swarm_jobs import Job
from tests.support.waiting import PATIENCE, until

pytestmark = pytest.mark.one_loop


async def _wait_for(awaitable: Awaitable[Any]) -> Any:
    """Wait for something that comes by itself, long before the test's own end; the machine may be busy."""
    return await asyncio.wait_for(awaitable, PATIENCE)


async def _containers(cluster: Cluster, runner: Runner) -> list[tuple[int, str]]:
    """Find a job's containers: the node's number, and the ID."""
    command = ("ps", "--quiet", "--filter", f"label=io.aioparcs.job={runner.job}")
    found = []
    for number in range(len(cluster.nodes)):
        found += [(number, name) for name in (await asyncio.to_thread(cluster.docker, *command, node=number)).split()]
    return found


@pytest.fixture
def nodes(cluster: Cluster) -> tuple[Node, ...]:
    """Return the nodes, to be cut and killed."""
    if not cluster.nodes:
        pytest.skip("only nodes of the test cluster may be cut")
    return cluster.nodes


# What can't start


async def test_no_such_image(cluster: Cluster, job: Job) -> None:
    async with job() as runner:
        with pytest.raises(StartError, match=r"there is no image .*/nowhere:1: manifest unknown.*check its name"):
            await _wait_for(runner.start(f"{cluster.registry}/nowhere:1"))
        with pytest.raises(StartError, match=r"start an image by its reference, such as .*/nowhere:latest"):
            await _wait_for(runner.start("nowhere"))


async def test_no_registry_to_take_modules_from(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    async with job() as runner:
        monkeypatch.delenv("PARCS_REGISTRY")
        with pytest.raises(StartError, match=r"name the registry .* in PARCS_REGISTRY"):
            await _wait_for(runner.start("talker"))


@pytest.mark.parametrize(
    "options, reason, needs",
    [
        (
            {"swarm": {"constraints": ["node.labels.colour==green"]}},
            "scheduling constraints not satisfied on 3 nodes",
            "",
        ),
        ({"memory": "900g"}, "insufficient resources on 3 nodes", "; it needs a node with 921,600 MiB of free memory"),
    ],
)
async def test_no_suitable_node(job: Job, options: dict[str, Any], reason: str, needs: str) -> None:
    recorder = EventRecorder()
    async with job(start_timeout=8, recorder=recorder) as runner:
        begun = time.monotonic()
        with pytest.raises(StartError, match=rf"within 8 s \(PARCS_START_TIMEOUT\): no suitable node \({reason}\)"):
            await _wait_for(runner.start("talker", **options))
        assert time.monotonic() - begun >= 8
    (waiting,) = {event for event in recorder.events if event[0] == "waiting"}
    assert waiting == ("waiting", "talker", 1, f"no suitable node ({reason}){needs}")


async def test_a_pull_that_hangs(cluster: Cluster, nodes: tuple[Node, ...], job: Job) -> None:
    with socket.create_server((_machine(), 0)) as silent:  # a registry that takes connections and says nothing
        address = f"{_machine()}:{silent.getsockname()[1]}"
        async with job(start_timeout=8) as runner:
            with pytest.raises(StartError, match=r"within 8 s \(PARCS_START_TIMEOUT\): its node is pulling the image"):
                await _wait_for(runner.start(f"{address}/talker@sha256:{'0' * 64}"))


def _machine() -> str:
    own = OwnCluster.here()
    assert own
    return own.machine


async def test_no_gpus(job: Job) -> None:
    async with job() as runner:
        with pytest.raises(StartError, match=r"gpus=1: no node of the Swarm offers GPUs; .*daemon\.json"):
            await _wait_for(runner.start("talker", gpus=1))


async def test_a_network_without_addresses(cluster: Cluster, job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARCS_NETWORK", "parcs-tiny")
    make = ("network", "create", "--driver", "overlay", "--attachable", "--subnet", "10.99.0.0/29", "parcs-tiny")
    await asyncio.to_thread(cluster.docker, *make)
    try:
        async with job(overlay=True) as runner:
            with pytest.raises(StartError, match=r"'parcs-tiny' has too few free addresses .* \(\d of 20\)"):
                await _wait_for(runner.start_many("talker", 20))
    finally:
        await asyncio.to_thread(cluster.docker, "network", "rm", "parcs-tiny")


async def test_no_network(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARCS_NETWORK", "nowhere")
    async with job(overlay=True) as runner:
        with pytest.raises(StartError, match="no network 'nowhere' on the Swarm; make it: aioparcs cluster init"):
            await _wait_for(runner.start("talker"))


async def test_a_container_that_can_not_be_started(job: Job) -> None:
    async with job() as runner:
        with pytest.raises(StartError, match=r"refused its container: .*bind source path does not exist"):
            await _wait_for(runner.start("talker", swarm={"mounts": ["/nowhere:/data"]}))


async def test_a_main_that_does_not_call_serve_is_an_error(cluster: Cluster, job: Job) -> None:
    async with job() as runner:
        with pytest.raises(StartError, match=r"ended with exit code 2 before it called serve") as failed:
            await _wait_for(runner.start(cluster.base))  # the base image: it has no main.py
        assert "main.py" in " ".join(failed.value.last_lines)


# What fails while it works


async def test_output_can_be_read_back_unless_another_log_driver_is_set(cluster: Cluster, job: Job) -> None:
    async with job() as runner:
        with pytest.raises(StartError, match=r"nothing can be read back from the log driver 'none'"):
            await _wait_for(runner.start(cluster.base, swarm={"log_driver": {"Name": "none"}}))
        await runner.start("talker")
        (talker,) = [
            one for one in await asyncio.to_thread(_services, cluster, runner.job) if "talker" in one["Spec"]["Name"]
        ]
        assert talker["Spec"]["TaskTemplate"]["LogDriver"]["Name"] == "json-file"
        with pytest.raises(SettingError, match=r"'log_driver': 'none'.* must be a mapping such as"):
            await runner.start("talker", swarm={"log_driver": "none"})


def _services(cluster: Cluster, job: str) -> list[Any]:
    return ask(cluster, lambda swarm: swarm.services(job))


@pytest.mark.alone
async def test_a_node_that_is_drained(cluster: Cluster, nodes: tuple[Node, ...], job: Job) -> None:
    async with job() as runner, runner.start_many("talker", 2, swarm={"constraints": ["node.role==worker"]}) as tasks:
        await until(lambda: tasks[0].node)
        node = next(node for node in nodes if node.name == tasks[0].node)
        try:
            await asyncio.to_thread(nodes[0].docker, "node", "update", "--availability", "drain", node.name)
            with pytest.raises(WorkerLost, match=r"SIGTERM: it was stopped from outside|its node is drained"):
                await _wait_for(tasks[0].recv())
        finally:
            await asyncio.to_thread(nodes[0].docker, "node", "update", "--availability", "active", node.name)


async def test_a_service_that_raises(job: Job) -> None:
    async with job() as runner, runner.start_many("talker", 2) as (first, second):
        await first.send(["fail", "ValueError", "bad"])
        with pytest.raises(ValueError, match="bad") as error:
            await _wait_for(first.recv())
        assert isinstance(error.value, RemoteError)
        assert 'File "/parcs/main.py"' in error.value.traceback
        await second.send(["echo", "the job goes on"])
        assert await _wait_for(second.recv()) == "the job goes on"


async def test_a_killed_container(cluster: Cluster, nodes: tuple[Node, ...], job: Job) -> None:
    async with job() as runner, runner.start("talker") as t:
        await t.send(["print_lines", "last words"])
        assert await t.recv() == "printed"
        ((node, container),) = await _containers(cluster, runner)
        reading = asyncio.ensure_future(t.recv())
        await asyncio.to_thread(cluster.docker, "kill", container, node=node)
        with pytest.raises(WorkerLost, match=r"talker:0 on node\d is lost: its launcher was killed by SIGKILL") as lost:
            await _wait_for(reading)
        assert lost.value.last_lines == ("last words",)


async def test_a_killed_worker_process(job: Job) -> None:
    async with job() as runner, runner.start("talker") as t:
        await t.send(["die", signal.SIGKILL])
        with pytest.raises(WorkerLost, match="was killed by SIGKILL") as lost:
            await _wait_for(t.recv())
        assert lost.value.signal == signal.SIGKILL


async def test_a_worker_that_takes_more_memory_than_it_may(job: Job) -> None:
    async with job() as runner, runner.start("probe", memory="64m") as t:
        assert await t.call("allocate", 1 << 20) == 1 << 20
        with pytest.raises(WorkerLost, match=r"was killed by SIGKILL(?s:.*)its container has no more memory"):
            await _wait_for(t.call("allocate", 1 << 30))


async def test_workers_that_share_a_container_share_no_memory_limit(job: Job) -> None:
    async with job() as runner, runner.start_many("probe", 2, per_container=2, memory="96m") as (first, second):
        with pytest.raises(MemoryError):
            await _wait_for(first.call("allocate", 150 << 20))
        assert await _wait_for(second.call("allocate", 1 << 20)) == 1 << 20


@pytest.mark.alone
@pytest.mark.usefixtures("renewed_node3")
async def test_a_node_that_is_cut_off(nodes: tuple[Node, ...], job: Job) -> None:
    async with job(liveness=3.0) as runner, runner.start_many("talker", len(nodes)) as tasks:
        await until(lambda: len({task.node for task in tasks}) == len(nodes))
        (cut_off,) = [task for task in tasks if task.node == "node3"]
        others = [task for task in tasks if task is not cut_off]
        reading = asyncio.ensure_future(cut_off.recv())
        try:
            await asyncio.to_thread(nodes[2].cut)
            with pytest.raises(WorkerLost, match=r"on node3 is lost: its host was silent for 3 s"):
                await _wait_for(reading)
            for task in others:
                await task.send(["echo", "here"])
                assert await _wait_for(task.recv()) == "here"
        finally:
            await asyncio.to_thread(nodes[2].restore)


@pytest.mark.alone
async def test_a_node_whose_docker_is_killed(nodes: tuple[Node, ...], job: Job) -> None:
    async with job() as runner, runner.start_many("talker", len(nodes)) as tasks:
        await until(lambda: len({task.node for task in tasks}) == len(nodes))
        try:
            await asyncio.to_thread(nodes[1].kill)
            for task in tasks:  # containers live on without their Docker, and so do their channels
                await task.send(["echo", "here"])
                assert await _wait_for(task.recv()) == "here"
        finally:
            await asyncio.to_thread(nodes[1].revive)
        (orphan,) = [task for task in tasks if task.node == "node2"]
        with pytest.raises(WorkerLost, match=r"on node2 (is lost|ended with exit code 143)"):  # the containers
            await _wait_for(orphan.recv())


# What becomes of a job whose runner fails


RUNNER = """
import asyncio, sys
from aioparcs import Runner, run

async def main(runner: Runner) -> None:
    tasks = await runner.start_many("talker", 3)
    print(runner.job, flush=True)
    await asyncio.gather(*(task.recv() for task in tasks))

run(main)
"""
STARTING = RUNNER.replace('"talker", 3', '"talker", 12').replace(
    "    tasks = await", "    print(runner.job, flush=True)\n    tasks = await"
)


def _program(cluster: Cluster, text: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", text],
        env=ENVIRONMENT | cluster.environment | {"PARCS_MODULES": str(MODULES)},
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def _name(process: "subprocess.Popen[str]") -> str:
    assert process.stdout
    name = process.stdout.readline().strip()
    assert re.fullmatch("[0-9a-f]{8}", name), process.communicate(timeout=PATIENCE)[1]
    return name


@pytest.mark.alone
def test_a_runner_that_is_killed(cluster: Cluster, images: None) -> None:
    with _program(cluster, RUNNER) as process:
        name = _name(process)
        process.kill()
    # Its launchers notice and end by themselves; what Docker keeps of it, the next command sweeps.
    end = time.monotonic() + PATIENCE
    while "Running" in (tasks := _stack_ps(cluster, name)):
        assert time.monotonic() < end, tasks
    done = execute([*COMMAND, "rm", "--orphans"], None, **cluster.environment)
    assert (done.returncode, name in done.stdout) == (0, True), done.stdout + done.stderr
    assert left(cluster, name) == []


def _stack_ps(cluster: Cluster, name: str) -> str:
    return cluster.docker("stack", "ps", f"parcs-{name}", "--format", "{{.CurrentState}}")


@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_runner_that_is_stopped_while_workers_start(
    cluster: Cluster, images: None, number: signal.Signals, code: int
) -> None:
    with _program(cluster, STARTING) as process:
        name = _name(process)
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors.splitlines()[-1]) == (code, f"stopped by {number.name}")
    assert left(cluster, name) == []


async def test_a_runner_that_raises_while_workers_work(job: Job) -> None:
    async def raises(runner: Runner, tasks: list[Task]) -> None:
        await asyncio.gather(*(task.send(["compute", 600]) for task in tasks))
        await asyncio.gather(*(task.recv() for task in tasks))
        raise LookupError("a bug in the runner")

    async with job() as runner:
        with pytest.raises(LookupError):
            async with runner.start_many("talker", 3) as tasks:
                await raises(runner, tasks)


# Docker itself


async def test_docker_that_can_not_be_reached() -> None:
    with pytest.raises(ClusterError, match=r"tcp://127\.0\.0\.1:1: can't be reached: Connection refused"):
        async with Runner(engine=SwarmEngine("tcp://127.0.0.1:1")):
            pass


async def test_a_leader_that_is_a_worker_node(nodes: tuple[Node, ...]) -> None:
    url, manager = nodes[1].url, nodes[0].address
    with pytest.raises(ClusterError, match=rf"node2 is a worker node of the Swarm; .*this node knows {manager}"):
        async with Runner(engine=SwarmEngine(url)):
            pass


@pytest.mark.slow
@pytest.mark.parametrize(
    "leader, message", [("tcp://127.0.0.1:1", "Connection refused"), ("", "not an address of Docker")]
)
def test_an_error_of_the_cluster_is_one_line(leader: str, message: str, tmp_path: Path) -> None:
    main = tmp_path / "main.py"
    main.write_text("from aioparcs import run\n\nasync def main(runner): ...\n\nrun(main)\n")
    variables = ENVIRONMENT | {"PARCS_ENGINE": "swarm", "LEADER_URL": leader or "nonsense"}
    done = subprocess.run([sys.executable, str(main)], env=variables, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == (1 if leader else 2)
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


# One command


def test_run_on_swarm_prints_what_the_runner_prints(cluster: Cluster) -> None:
    arguments = ("run", str(EXAMPLES / "runner"), "--on", "swarm", "-e", "N=90", "-e", "P=6")
    done = execute([*COMMAND, *arguments], None, **cluster.environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("90 has 12 divisors: 1, 2, 3, 5, 6, 9, 10, 15, 18, 30, 45, 90\n")
    assert re.search(r"^factor: 6 of 6 placed on node1 \(\d\), node2 \(\d\)(, node\d \(\d\))+$", done.stderr, re.M), (
        done.stderr
    )
    (name,) = re.findall(r"runs as job ([0-9a-f]{8})", done.stderr)
    assert left(cluster, name) == []


def test_run_on_swarm_returns_the_exit_code(cluster: Cluster, tmp_path: Path) -> None:
    (tmp_path / "exits").mkdir()
    (tmp_path / "exits" / "main.py").write_text("import sys\nprint('leaving', file=sys.stderr)\nsys.exit(7)\n")
    done = execute([*COMMAND, "run", str(tmp_path / "exits"), "--on", "swarm"], None, **cluster.environment)
    assert done.returncode == 7
    assert "leaving" in done.stderr


def test_run_on_swarm_detach_returns_at_once(cluster: Cluster) -> None:
    arguments = ("run", str(EXAMPLES / "runner"), "--on", "swarm", "--detach", "-e", "N=90", "-e", "P=2")
    name = execute([*COMMAND, *arguments], None, **cluster.environment).stdout.strip()
    try:
        followed = execute([*COMMAND, "logs", "-f", name], None, **cluster.environment)
        assert "90 has 12 divisors: 1, 2, 3, 5, 6, 9, 10, 15, 18, 30, 45, 90\n" in followed.stdout
    finally:
        removed = execute([*COMMAND, "rm", name], None, **cluster.environment)
    assert removed.stdout == f"removed job {name}: parcs-{name}_runner\n"
    assert left(cluster, name) == []


def test_run_on_swarm_stops_with_ctrl_c(cluster: Cluster) -> None:
    arguments = ("run", str(EXAMPLES / "runner"), "--on", "swarm", "-e", f"N={10**12}", "-e", "P=1")
    with subprocess.Popen(
        [*COMMAND, *arguments], env=ENVIRONMENT | cluster.environment,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stderr
        read = ""
        for line in process.stderr:
            read += line
            if "1 of 1 connected" in line:
                break
        process.send_signal(signal.SIGINT)
        stopping = "stopping; press Ctrl-C again to leave the cleanup to the cluster\n"
        assert stopping in process.stderr, "others may come first, such as where the worker was placed"
        assert process.poll() is None, "at once, long before its end"
        process.communicate(timeout=90)
    (name,) = re.findall(r"runs as job ([0-9a-f]{8})", read)
    assert process.returncode == 130
    assert left(cluster, name) == []
