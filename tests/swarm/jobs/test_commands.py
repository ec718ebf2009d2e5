"""The commands about a cluster and its jobs, on a real one: ps, logs, rm, doctor, cluster init."""

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import pytest

from aioparcs.settings import VERSION
from aioparcs.swarm.docker.client import SwarmClient
from aioparcs.swarm.docker.labels import DEADLINE, MODULE, ROLE, job_labels, stack
from tests.support.command import COMMAND, ENVIRONMENT, EXAMPLES, TIMEOUT, execute, run
from tests.support.live import Cluster, ask, remains
from tests.support.submitted import containers

T = TypeVar("T")


Aioparcs = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def aioparcs(cluster: Cluster) -> Aioparcs:
    """Run a command against the cluster."""
    return lambda *arguments, **env: on(cluster, *arguments, **env)


def on(cluster: Cluster, *arguments: str | Path, **env: str) -> "subprocess.CompletedProcess[str]":
    return execute([*COMMAND, *map(str, arguments)], None, **cluster.environment | env)


def until(condition: Callable[[], T], seconds: float = TIMEOUT) -> T:
    """Ask until something is true."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.2)  # a command takes as much of a core
    return found


def shown(aioparcs: Aioparcs, job: str) -> dict[str, Any]:
    """Return one job as `ps` shows it, {} if there is none."""
    done = aioparcs("ps", "--json")
    assert done.returncode == 0, done.stderr
    return next((one for one in json.loads(done.stdout) if one["job"] == job), {})


# A job whose runner is a process here


@pytest.fixture(scope="session")
def echo(cluster: Cluster) -> str:
    """Build the example's image; give its reference."""
    done = on(cluster, "build", EXAMPLES / "echo", "--push", "--json")
    assert done.returncode == 0, done.stderr
    return str(json.loads(done.stdout)[0]["digest"])


OUTSIDE = """
import asyncio, os, sys
from aioparcs import Runner

async def main():
    async with Runner(engine="swarm") as runner:
        await runner.start_many(sys.argv[1], 3)
        print("up", flush=True)
        await asyncio.to_thread(sys.stdin.read)

asyncio.run(main())
"""


class Outside(NamedTuple):
    """A job whose runner is a process of this host."""

    job: str
    runner: "subprocess.Popen[str]"


@contextmanager
def outside(cluster: Cluster, echo: str, folder: Path) -> Iterator[Outside]:
    (folder / "outside.py").write_text(OUTSIDE)
    job = secrets.token_hex(4)
    with subprocess.Popen(
        [sys.executable, folder / "outside.py", echo],
        env=ENVIRONMENT | cluster.environment | {"PARCS_RUN": job},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as runner:  # fmt: skip
        try:
            assert runner.stdout
            assert runner.stdout.readline() == "up\n"
            yield Outside(job, runner)
        finally:
            runner.kill()
            runner.wait()
            on(cluster, "rm", job)


def test_a_job_is_shown_and_then_removed(cluster: Cluster, aioparcs: Aioparcs, echo: str, tmp_path: Path) -> None:
    with outside(cluster, echo, tmp_path) as (job, runner):
        # A worker may have dialled before its node has told the leader that its container runs.
        found = until(lambda: (one := shown(aioparcs, job))["running"] == 3 and one)
        assert (found["state"], found["asked"], found["modules"]) == ("running", 3, [echo])
        assert found["runner"].startswith(f"process {runner.pid} on ")
        assert [(one["container"], one["slot"], one["state"], one["error"]) for one in found["workers"]] == [
            (number, number + 1, "running", "") for number in range(3)
        ]
        assert {one["node"] for one in found["workers"]} == set(found["nodes"])
        assert 0 < found["age"] < TIMEOUT
        (row,) = (line for line in aioparcs("ps").stdout.splitlines() if line.startswith(job))
        assert " 3/3 " in row

        removed = aioparcs("rm", job)
        assert removed.returncode == 0, removed.stderr
        assert removed.stdout.startswith(f"removed job {job}: parcs-{job}_")
        assert f"its runner, process {runner.pid} on " in removed.stderr
        assert remains(cluster, job) == []


@pytest.mark.alone
def test_remains_of_a_killed_runner_are_removed(
    cluster: Cluster, aioparcs: Aioparcs, echo: str, tmp_path: Path
) -> None:
    with outside(cluster, echo, tmp_path) as (job, runner):
        assert job not in aioparcs("rm", "--orphans").stdout
        assert remains(cluster, job), "a runner that lives keeps its job"
        runner.kill()
        runner.wait()
        done = aioparcs("rm", "--orphans")
        assert f"removed what was left of job {job}\n" in done.stdout
        assert remains(cluster, job) == []
        assert shown(aioparcs, job) == {}


def test_a_container_without_output_and_one_that_is_not_there(
    cluster: Cluster, aioparcs: Aioparcs, echo: str, tmp_path: Path
) -> None:
    with outside(cluster, echo, tmp_path) as (job, _):
        own = aioparcs("logs", job, "--worker", "1")
        assert (own.returncode, own.stdout, own.stderr) == (0, "", "")
        missing = aioparcs("logs", job, "--worker", "9")
        assert (missing.returncode, missing.stderr) == (
            2,
            f"error: job {job} has no container 9; there are: 0, 1, 2\n",
        )
        runner = aioparcs("logs", job)
        assert runner.returncode == 2
        assert "is not on the cluster" in runner.stderr
        assert f"aioparcs logs {job} --worker K" in runner.stderr


# A job whose runner was submitted to the cluster


@contextmanager
def submitted(cluster: Cluster, program: str, *constraints: str) -> Iterator[str]:
    """Run a program on the cluster as the runner of a job."""
    job = secrets.token_hex(4)
    labels = {**job_labels(job), ROLE: "runner", MODULE: "main", DEADLINE: f"{time.time() + 60:.0f}"}
    image = os.environ.get("PARCS_BASE_IMAGE") or f"{cluster.registry}/aioparcs/python:{VERSION}"
    container = {"Image": image, "Command": ["python", "-uc", program], "Labels": labels, "Init": True}
    template = {
        "ContainerSpec": container,
        "RestartPolicy": {"Condition": "none"},
        "Placement": {"Constraints": list(constraints)},
    }
    spec = {"Name": f"{stack(job)}_runner", "Labels": labels, "TaskTemplate": template}
    spec |= {"Mode": {"Replicated": {"Replicas": 1}}, "EndpointSpec": {"Mode": "dnsrr"}}
    ask(cluster, lambda swarm: swarm.create_service(spec, {}))
    try:
        yield job
    finally:
        on(cluster, "rm", job)


PRINTS = """
import sys, time
for number in range(4):
    print("line", number)
    time.sleep(0.5)
sys.exit("the end")
"""


def test_a_log_is_followed_to_its_end_and_stays_until_the_job_is_removed(cluster: Cluster, aioparcs: Aioparcs) -> None:
    lines = "".join(f"line {number}\n" for number in range(4))
    with submitted(cluster, PRINTS) as job:
        followed = aioparcs("logs", "-f", job)
        assert (followed.returncode, followed.stdout, followed.stderr) == (0, lines, "the end\n")
        found = shown(aioparcs, job)
        assert (found["state"], found["modules"], found["workers"]) == ("failed", [], [])
        assert found["runner"].endswith(": ended with exit code 1")
        again = aioparcs("logs", job)
        assert (again.returncode, again.stdout, again.stderr) == (0, lines, "the end\n")
        assert aioparcs("rm", job).stdout == f"removed job {job}: parcs-{job}_runner\n"
        assert remains(cluster, job) == []


def test_a_runner_that_was_stopped_has_not_failed(cluster: Cluster, aioparcs: Aioparcs) -> None:
    with submitted(cluster, "import time; print('on', flush=True); time.sleep(600)") as job:
        until(lambda: aioparcs("logs", job).stdout == "on\n")
        (runner,) = containers(cluster, job, "runner")
        cluster.docker("kill", "--signal", "TERM", runner.id, node=runner.node)
        until(lambda: shown(aioparcs, job)["state"] != "running")
        assert shown(aioparcs, job)["state"] == "stopped"
        assert ": stopped by SIGTERM" in aioparcs("explain", job).stdout


def test_following_ends_when_the_job_is_removed_and_with_ctrl_c(cluster: Cluster, aioparcs: Aioparcs) -> None:
    with submitted(cluster, "import time; print('on'); time.sleep(600)") as job:
        command = [*COMMAND, "logs", "-f", job]
        environment = ENVIRONMENT | cluster.environment
        with (
            subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as one,
            subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as other,
        ):
            assert one.stdout
            assert other.stdout
            assert (one.stdout.readline(), other.stdout.readline()) == ("on\n", "on\n")
            one.send_signal(signal.SIGINT)
            assert one.wait(TIMEOUT) == 130
            assert aioparcs("rm", job).returncode == 0
            assert other.wait(TIMEOUT) == 0


def test_a_runner_that_never_runs_says_why(cluster: Cluster, aioparcs: Aioparcs) -> None:
    with submitted(cluster, "", "node.labels.nowhere==here") as job:
        found = until(lambda: (one := shown(aioparcs, job))["runner"].startswith("service: no suitable node") and one)
        assert found["state"] == "starting"
        done = aioparcs("logs", job)
        assert (done.returncode, done.stdout) == (0, "")


# What is not there


@pytest.mark.parametrize("command", [["rm"], ["logs"], ["logs", "-f"], ["logs", "--worker", "0"]])
def test_an_unknown_job_is_exit_2(cluster: Cluster, aioparcs: Aioparcs, command: list[str]) -> None:
    done = aioparcs(*command, "nothing")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: there is no job 'nothing' on {cluster.leader_url}; there ")


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [[], ["a", "--orphans"]])
def test_rm_wants_either_jobs_or_orphans(arguments: list[str]) -> None:
    done = run("rm", *arguments)
    assert (done.returncode, done.stderr) == (2, "error: name the jobs to remove, or use --orphans\n")


@pytest.mark.slow
@pytest.mark.parametrize("command", [["ps"], ["logs", "x"], ["rm", "x"], ["rm", "--orphans"], ["cluster", "init"]])
def test_a_leader_that_is_not_there_is_one_line(command: list[str]) -> None:
    done = run(*command, LEADER_URL="tcp://127.0.0.1:9")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: Docker at tcp://127.0.0.1:9: can't be reached: Connection refused; ")
    assert done.stderr.count("\n") == 1
    assert run(*command, LEADER_URL="nonsense").returncode == 2


@pytest.mark.slow
def test_help_and_local_runs_do_not_load_dockers_libraries(tmp_path: Path) -> None:
    shutil.copytree(EXAMPLES / "echo", tmp_path / "echo")
    program = (
        "import sys, aioparcs.cli as cli\n"
        "try:\n    cli.main(sys.argv[1:])\nfinally:\n"
        "    assert not {'aiodocker', 'aiohttp', 'docker'} & set(sys.modules)"
    )
    (tmp_path / "main.py").write_text("from aioparcs import run\nasync def main(runner): ...\nrun(main)")
    for arguments in (["--help"], ["ps", "--help"], ["doctor", "--help"], ["run", "."]):
        done = execute([sys.executable, "-c", program, *arguments], tmp_path)
        assert (done.returncode, done.stderr) == (0, ""), arguments


# doctor


def checks(done: "subprocess.CompletedProcess[str]") -> dict[str, dict[str, str]]:
    return {check["name"]: check for check in json.loads(done.stdout)}


def test_a_ready_cluster_passes_all_checks(cluster: Cluster, aioparcs: Aioparcs) -> None:
    done = aioparcs("doctor", "--json")
    assert done.returncode == 0, done.stdout
    found = checks(done)
    names = ["leader", "version", "access", "nodes", "network", "addresses", "base image", "registry", "runner here"]
    assert list(found) == names
    assert {name for name, check in found.items() if check["state"] != "ok"} <= {"access"}
    nodes = [node["Description"]["Hostname"] for node in ask(cluster, lambda swarm: swarm.nodes())]
    for name in ("base image", "registry", "runner here"):
        assert all(node in found[name]["text"] for node in nodes)


def test_a_plain_leader_is_a_warning(cluster: Cluster, aioparcs: Aioparcs) -> None:
    if not cluster.leader_url.startswith("tcp://"):
        pytest.skip("this leader is not plain tcp://")
    done = aioparcs("doctor")
    assert f"warning access: {cluster.leader_url} gives root on the cluster to anyone who can reach it\n" in done.stdout
    assert "LEADER_URL=ssh://USER@" in done.stdout


def test_an_unreachable_advertised_address_fails_the_check(aioparcs: Aioparcs) -> None:
    done = aioparcs("doctor", "--json", PARCS_ADVERTISE="192.0.2.77")
    assert done.returncode == 1
    found = checks(done)
    assert found["runner here"]["state"] == "failed"
    assert "192.0.2.77:" in found["runner here"]["text"]
    assert "PARCS_ADVERTISE" in found["runner here"]["advice"]
    assert found["registry"]["state"] == found["base image"]["state"] == "ok"


def test_an_image_and_a_network_that_are_not_there_have_failed(cluster: Cluster, aioparcs: Aioparcs) -> None:
    image = f"{cluster.registry}/nothing:1"
    done = aioparcs("doctor", "--json", PARCS_BASE_IMAGE=image, PARCS_NETWORK="parcs-nowhere")
    assert done.returncode == 1
    found = checks(done)
    assert found["network"]["advice"] == "aioparcs cluster init"
    assert "addresses" not in found
    assert found["base image"]["state"] == "failed"
    assert image in found["base image"]["text"]


@pytest.mark.slow
def test_without_a_leader_the_doctor_stops_there() -> None:
    done = run("doctor", "--json", LEADER_URL="tcp://127.0.0.1:9")
    assert done.returncode == 1
    assert [(check["name"], check["state"]) for check in json.loads(done.stdout)] == [("leader", "failed")]
    assert run("doctor", LEADER_URL="tcp://127.0.0.1:9").stdout.startswith("failed  leader: Docker at tcp://")
    assert run("doctor", LEADER_URL="nonsense").returncode == 2


# cluster init


@pytest.fixture
def name(cluster: Cluster) -> Iterator[str]:
    """Choose a name for a network, which goes when the test ends."""
    name = f"parcs-test-{secrets.token_hex(4)}"
    yield name

    async def remove(swarm: SwarmClient) -> None:
        if await swarm.networks.find(name):
            await (await swarm.docker.networks.get(name)).delete()

    ask(cluster, remove)


def test_the_network_is_made_once(cluster: Cluster, aioparcs: Aioparcs, name: str) -> None:
    made = aioparcs("cluster", "init", PARCS_NETWORK=name)
    assert made.returncode == 0, made.stderr
    assert made.stdout.startswith(f"network {name}: created, 10.")
    room = int(made.stdout.rpartition("room for ")[2].split()[0])
    assert room >= 4000
    again = aioparcs("cluster", "init", PARCS_NETWORK=name)
    assert (again.returncode, again.stdout) == (0, made.stdout.replace("created", "already exists"))
    network = ask(cluster, lambda swarm: swarm.networks.find(name))
    assert network
    assert (network["Driver"], network["Attachable"]) == ("overlay", True)


def test_a_network_of_ones_own_choice(aioparcs: Aioparcs, name: str) -> None:
    for state in ("created", "already exists"):
        done = aioparcs("cluster", "init", "--subnet", "10.91.7.0/24", PARCS_NETWORK=name)
        assert done.stdout.startswith(f"network {name}: {state}, 10.91.7.0/24, room for "), done.stderr
    small = aioparcs("cluster", "init", PARCS_NETWORK=name)
    assert small.returncode == 1
    assert "is too small: 253 addresses (10.91.7.0/24); nothing was changed; " in small.stderr
    assert f"docker network rm {name}" in small.stderr


def test_a_network_that_is_not_fit_is_left_alone(cluster: Cluster, aioparcs: Aioparcs, name: str) -> None:
    ask(cluster, lambda swarm: swarm.networks.create({"Name": name, "Driver": "overlay", "Attachable": False}))
    done = aioparcs("cluster", "init", PARCS_NETWORK=name)
    assert done.returncode == 1
    assert f"the network '{name}' is not attachable" in done.stderr
    network = ask(cluster, lambda swarm: swarm.networks.find(name))
    assert network
    assert network["Attachable"] is False


@pytest.mark.parametrize("subnet", ["10.0.0.0/33", "x/20", "10.0.0.1/20", "fd00::/64"])
def test_an_invalid_subnet_is_exit_2(aioparcs: Aioparcs, subnet: str) -> None:
    done = aioparcs("cluster", "init", "--subnet", subnet, PARCS_NETWORK="parcs-never")
    assert (done.returncode, done.stdout) == (2, "")
    assert "is not a subnet such as 10.76.0.0/20" in done.stderr


def test_a_subnet_in_use_is_exit_2(cluster: Cluster, aioparcs: Aioparcs) -> None:
    address = ask(cluster, lambda swarm: swarm.nodes())[0]["Status"]["Addr"]
    done = aioparcs("cluster", "init", "--subnet", f"{address}/32", PARCS_NETWORK="parcs-never")
    assert done.returncode == 2
    assert "which is in use" in done.stderr
