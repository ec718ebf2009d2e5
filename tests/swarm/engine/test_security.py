"""The security of a job: other programs on the cluster learn nothing of it and can't disturb it."""

import asyncio
import base64
import json
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from aioparcs import Task
from tests.support.command import COMMAND, execute
from tests.support.jobs import MODULES, module
from tests.support.live import Cluster, ask, remains
from tests.support.submitted import Container, Submitted, build, containers, own, running_job, submitted

pytestmark = pytest.mark.one_loop

TOKEN_FILE = "/run/secrets/parcs_token"


@pytest.fixture(scope="module")
def talker(cluster: Cluster) -> str:
    return build(own(cluster), MODULES / "talker", "tests-security")


async def answers(task: Task) -> None:
    await task.send(["echo", "here"])
    assert await task.recv() == "here"


# The token


def forms(token: bytes) -> list[bytes]:
    return [token, token.hex().encode(), token.hex().upper().encode(), base64.b64encode(token)]


def docker_descriptions(cluster: Cluster, job: str) -> dict[str, str]:
    """Gather all that a job's services, tasks, secrets and containers are described as, and have printed."""
    mark = ("--filter", f"label=io.aioparcs.job={job}")
    described = {}
    for service in cluster.docker("service", "ls", "--quiet", *mark).split():
        described[f"service {service}"] = cluster.docker("service", "inspect", service)
        described[f"log of {service}"] = cluster.docker("service", "logs", "--details", service)
    tasks = ask(cluster, lambda swarm: swarm.tasks(job))
    described |= {f"task {task['ID']}": cluster.docker("inspect", "--type", "task", task["ID"]) for task in tasks}
    for secret in cluster.docker("secret", "ls", "--quiet", *mark).split():
        described[f"secret {secret}"] = cluster.docker("secret", "inspect", secret)
    for container in containers(cluster, job):
        described[f"container {container.id}"] = container.inspect()
        described[f"output of {container.id}"] = cluster.docker("logs", container.id, node=container.node)
    return described


def processes_that_show(words: list[bytes]) -> list[str]:
    """Find processes, on this machine and so in all containers, with a word on their command line or environment."""
    found = []
    for process in psutil.process_iter():
        try:
            shown = b"".join(Path(f"/proc/{process.pid}/{file}").read_bytes() for file in ("cmdline", "environ"))
        except OSError:  # it has ended
            continue
        if any(word in shown for word in words):
            found.append(f"{process.pid} {shown.partition(bytes(1))[0].decode(errors='replace')}")
    return found


async def test_the_token_is_in_one_file_of_each_container_and_nowhere_else(cluster: Cluster, talker: str) -> None:
    async with running_job(cluster.leader_url) as (runner, job, _):
        await asyncio.gather(*map(answers, await runner.start_many(talker, 4, per_container=2)))
        words = forms(job.token)
        described = await asyncio.to_thread(docker_descriptions, cluster, job.id)
        assert {name.partition(" ")[0] for name in described} == {
            "service", "log", "task", "secret", "container", "output"
        }  # fmt: skip
        assert [name for name, text in described.items() if any(word in text.encode() for word in words)] == []
        assert await asyncio.to_thread(processes_that_show, words) == []

        there = await asyncio.to_thread(containers, cluster, job.id)
        assert len(there) == 2
        for container in there:
            assert await asyncio.to_thread(container.run, "cat", TOKEN_FILE) == job.token.hex()
            search = ("grep", "-rlF", "--exclude-dir=proc", "--exclude-dir=sys", "-e", job.token.hex(), "/")
            assert (await asyncio.to_thread(container.run, *search, user="0")).split() == [TOKEN_FILE]


def test_a_variable_of_a_worker_would_have_been_found() -> None:
    word = secrets.token_hex()
    with subprocess.Popen(["sleep", "60"], env={"WORD": word}) as process:
        try:
            assert processes_that_show([word.encode()]) == [f"{process.pid} sleep"]
        finally:
            process.kill()


# Secrets of the user

READING = "import aioparcs, sys; sys.stdout.write(aioparcs.secret('password').hex())"


async def test_workers_read_a_secret_that_nothing_of_docker_shows_and_that_ends_with_the_job(
    cluster: Cluster, talker: str
) -> None:
    word = secrets.token_bytes(24)
    async with running_job(cluster.leader_url, secrets={"password": word}) as (runner, job, recorder):
        await answers(await runner.start(talker))
        described = await asyncio.to_thread(docker_descriptions, cluster, job.id)
        assert [name for name, text in described.items() if any(one in text.encode() for one in forms(word))] == []
        assert await asyncio.to_thread(processes_that_show, forms(word)) == []
        assert not any(one in repr(vars(recorder)).encode() for one in forms(word))
        (container,) = await asyncio.to_thread(containers, cluster, job.id)
        assert await asyncio.to_thread(container.run, "python", "-c", READING) == word.hex()
        assert "parcs-" + job.id + "_secret-password" in await asyncio.to_thread(remains, cluster, job.id)
    assert await asyncio.to_thread(remains, cluster, job.id) == []


def test_a_submitted_runner_and_its_workers_read_the_secret_of_the_command_line(
    cluster: Cluster, echoing: Submitted
) -> None:
    (worker,), (runner,) = containers(cluster, echoing.job), containers(cluster, echoing.job, "runner")
    read = [container.run("python", "-c", READING) for container in (worker, runner)]
    assert read[0] == read[1] != ""
    words = forms(bytes.fromhex(read[0]))
    described = docker_descriptions(cluster, echoing.job)
    assert [name for name, text in described.items() if any(word in text.encode() for word in words)] == []
    assert processes_that_show(words) == []
    listed = execute([*COMMAND, "ps", "--json"], None, **cluster.environment).stdout.encode()
    assert echoing.job.encode() in listed
    assert not any(word in listed for word in words)


# A job with its runner inside the overlay network, and an unauthenticated program there

ECHOING = """
import asyncio, json
from aioparcs import run

async def main(runner):
    async with runner.start("talker") as t:
        seen = -1
        while True:
            while runner.rejected_connections == seen:
                await asyncio.sleep(0.05)
            seen = runner.rejected_connections
            await t.send(["echo", "still here"])
            print(json.dumps([seen, await t.recv()]), flush=True)

run(main)
"""
INTRUDER = """
import asyncio, json, socket, sys
from aioparcs.address import Address
from aioparcs.errors import HandshakeError
from aioparcs.auth import Hello, Role, new_nonce
from aioparcs.channel import introduce
from aioparcs.transport import dial

async def claim(address, job, role):
    reader, writer = await dial(address, timeout=10)
    try:
        await introduce(reader, writer, Hello(role, job, 0, new_nonce(), "x", 1 << 20, 1 << 20), bytes(32), 10)
    except HandshakeError as error:
        return str(error)
    finally:
        writer.close()

def is_open(host, port):
    with socket.socket() as dialling:
        dialling.settimeout(10)
        return dialling.connect_ex((host, port)) == 0

async def main(address, job, worker):
    runner = Address.parse(address)
    refusals = [await claim(runner, job, role) for role in (Role.WORKER, Role.LAUNCHER)]
    # Few, over all of them: that no other is open either is seen from inside the worker, by another test.
    ports = [*range(1, 1024), *range(1024, 10_000, 10), 4321, 4444, *range(32_768, 61_000, 20), runner.port]
    print(json.dumps({
        "refusals": refusals,
        "open": [port for port in ports if is_open(worker, port)],
        "runner": is_open(runner.host, runner.port),
    }))

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.fixture  # for one test: between two of them, one of another process may cut off the worker's node
def echoing(cluster: Cluster, talker: str, tmp_path: Path) -> Iterator[Submitted]:
    folder = module(tmp_path, "echoing", ECHOING) / "echoing"
    (tmp_path / "password").write_bytes(secrets.token_bytes(24))
    secret = f"password={tmp_path / 'password'}"
    with submitted(cluster, folder, "tests-security", "--modules", str(MODULES), "--secret", secret) as echoing:
        assert echoing.line() == [0, "still here"]
        yield echoing


def variables(container: Container) -> dict[str, str]:
    """Read the environment of a container's first process, as that process sees it."""
    return dict(line.split("=", 1) for line in container.run("cat", "/proc/1/environ").split("\0") if line)


def test_an_unauthenticated_container_on_the_overlay_gets_nothing_and_the_job_goes_on(
    cluster: Cluster, echoing: Submitted
) -> None:
    (worker,) = containers(cluster, echoing.job)
    address = worker.inspect('{{(index .NetworkSettings.Networks "parcs").IPAddress}}')
    runner = variables(worker)["PARCS_RUNNER"]
    words = (cluster.base, "python", "-c", INTRUDER, runner, echoing.job, address)
    report = json.loads(cluster.run_on_overlay(*words, node=2 - worker.node // 2))
    assert report["refusals"] == ["refused: the job's token is another one"] * 2
    assert report["runner"], "it can tell an open port from others"
    assert report["open"] == [], "a worker listens nowhere"
    rejected = 0
    while rejected < 3:  # the third only connected, and hung up
        rejected, answer = echoing.line()
        assert answer == "still here"
    assert rejected == 3


def test_a_worker_listens_nowhere(cluster: Cluster, echoing: Submitted) -> None:
    def listening(container: Container) -> set[str]:
        """Find listening sockets in the kernel's list; 127.0.0.11 is Docker's name server, for itself alone."""
        lines = "\n".join(container.run("cat", f"/proc/net/{kind}") for kind in ("tcp", "tcp6")).splitlines()
        sockets = [line.split()[1:4:2] for line in lines if ":" in line]
        return {address for address, state in sockets if state == "0A" and not address.startswith("0B00007F:")}

    (worker,), (runner,) = containers(cluster, echoing.job), containers(cluster, echoing.job, "runner")
    assert listening(worker) == set()
    assert len(listening(runner)) == 1


def test_a_worker_has_no_credential_for_docker_and_the_runner_has_the_socket(
    cluster: Cluster, echoing: Submitted
) -> None:
    (worker,), (runner,) = containers(cluster, echoing.job), containers(cluster, echoing.job, "runner")
    assert [name for name in variables(worker) if name.startswith("DOCKER_") or name == "LEADER_URL"] == []
    assert variables(runner)["LEADER_URL"] == "unix:///var/run/docker.sock"
    search = ("find", "/", "-xdev", "-type", "s")
    assert worker.run(*search, user="0") == ""
    assert json.loads(worker.inspect("{{json .HostConfig.Binds}}")) is None
    assert {mount["Target"] for mount in json.loads(worker.inspect("{{json .HostConfig.Mounts}}")) or []} <= {
        TOKEN_FILE,
        "/run/secrets/password",
    }
    assert runner.run("find", "/run/", "-name", "docker.sock").split() == ["/run/docker.sock"]


def test_a_worker_is_an_ordinary_user_and_a_submitted_runner_is_root(cluster: Cluster, echoing: Submitted) -> None:
    def users(container: Container) -> set[str]:
        ask = "cat /proc/[0-9]*/status | grep ^Uid: | cut -f2-"
        return set(container.run("sh", "-c", ask).splitlines())

    (worker,), (runner,) = containers(cluster, echoing.job), containers(cluster, echoing.job, "runner")
    assert users(worker) == {"1000\t1000\t1000\t1000"}
    assert users(runner) == {"0\t0\t0\t0"}
    assert json.loads(worker.inspect("{{json .HostConfig.Privileged}}")) is False
    assert {one["CapBnd"] for one in statuses(runner)} == {f"{0b1110_1011:016x}"}, "files of others, other users"


# What a worker's container may do


def statuses(container: Container) -> list[dict[str, str]]:
    """Read what the kernel says of a container's own processes: those that Docker runs beside them have no parent."""
    text = container.run("sh", "-c", "for one in /proc/[0-9]*; do cat $one/status && echo; done; true")
    found = [
        dict(line.split(":\t", 1) for line in status.splitlines()) for status in text.split("\n\n") if status.strip()
    ]
    return [one for one in found if one["Pid"] == "1" or one["PPid"] != "0"]


def written(container: Container) -> list[str]:
    """Find in which of some folders the container's own user can write a file."""
    try_all = "for one in /tmp /dev/shm /parcs /home/parcs; do touch $one/file 2>/dev/null && echo $one; done; true"
    return container.run("sh", "-c", try_all).split()


async def test_a_worker_has_no_capabilities_and_gets_none(cluster: Cluster, talker: str) -> None:
    async with running_job(cluster.leader_url) as (runner, job, _):
        await asyncio.gather(*map(answers, await runner.start_many(talker, 2, per_container=2)))
        (container,) = await asyncio.to_thread(containers, cluster, job.id)
        found = await asyncio.to_thread(statuses, container)
        assert len(found) == 4, "the launcher, its agent, and two workers"
        sets = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
        assert {one[name] for one in found for name in sets} == {"0" * 16}
        assert {one["NoNewPrivs"] for one in found} == {"1"}
        assert await asyncio.to_thread(written, container) == ["/tmp", "/dev/shm", "/parcs", "/home/parcs"]


async def test_a_worker_gets_the_capabilities_that_its_start_names_and_a_root_that_it_cannot_change(
    cluster: Cluster, talker: str
) -> None:
    async with running_job(cluster.leader_url) as (runner, job, _):
        await answers(await runner.start(talker, swarm={"capabilities": ["SYS_NICE"], "read_only": True}))
        (container,) = await asyncio.to_thread(containers, cluster, job.id)
        found = await asyncio.to_thread(statuses, container)
        assert {(one["CapBnd"], one["NoNewPrivs"]) for one in found} == {(f"{1 << 23:016x}", "0")}
        assert await asyncio.to_thread(written, container) == ["/tmp", "/dev/shm"]
