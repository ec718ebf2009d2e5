"""
The original wire between containers on a real Swarm: peers in Python and in Go, in both directions.

The peers are in tests/peers. Each test runs a runner as a container on the overlay network, where the original has its
runners; what it does there it prints as JSON.
"""

import json
import os
import re
import secrets
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from aioparcs.swarm import SwarmClient as Leader
from tests.cluster import packages
from tests.cluster.cluster import Cluster as LocalCluster
from tests.cluster.command import ClusterError
from tests.cluster.command import execute as command
from tests.support.command import COMMAND, EXAMPLES, execute
from tests.support.live import Cluster, ask

PEERS = Path(__file__).parents[2] / "peers"
DIVISORS = [1, 2, 3, 5, 6, 9, 10, 15, 18, 30, 45, 90]
PATIENCE = 90.0  # seconds for a runner with all its containers, on two busy cores


@dataclass(frozen=True)
class Images:
    """
    What the tests run.

    Attributes:
        registry: where it is, for ``PARCS_REGISTRY``.
    """

    registry: str

    def __getitem__(self, name: str) -> str:
        return f"{self.registry}/{name}"


class SwarmClient:
    """Docker's command line, and what a test made with it: it goes when the test ends."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.mark = f"test-{secrets.token_hex(4)}"
        """The label of Swarm services, and the beginning of containers' names, that are this test's."""

    def docker(self, *arguments: str | Path, timeout: float = PATIENCE) -> str:
        return command("docker", "-H", self.cluster.leader_url, *arguments, timeout=timeout)

    def run(self, image: str, *arguments: str, **env: str) -> str:
        """Run a container on the overlay network to its end, and give what it printed."""
        variables = [f"--env={name}={value}" for name, value in (self.environment | env).items()]
        return self.cluster.run_on_overlay("--name", f"{self.mark}-runner", *variables, image, *arguments)

    @property
    def environment(self) -> dict[str, str]:
        return {"LEADER_URL": self.cluster.leader_url, "LABEL": self.mark}

    def services(self) -> list[str]:
        return self.docker("service", "ls", "--quiet", "--filter", f"label={self.mark}").split()

    def tasks(self) -> list[Any]:
        """List the tasks of this test's services, also of those that are removed."""
        return self._tasks(self.mark)

    def workers(self, images: "Images") -> list[Any]:
        """List the tasks of workers that runners of ours have started from these images."""
        tasks = self._tasks("io.aioparcs.role=worker")
        return [task for task in tasks if task["Spec"]["ContainerSpec"]["Image"].startswith(images.registry)]

    def _tasks(self, label: str) -> list[Any]:
        async def listed(swarm: Leader) -> list[Any]:
            return list(await swarm.docker.tasks.list(filters={"label": [label]}))

        return ask(self.cluster, listed)

    def logs(self, service: str) -> str:
        """Return all that a service has printed, on either stream."""
        done = subprocess.run(
            ["docker", "-H", self.cluster.leader_url, "service", "logs", "--raw", service],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=PATIENCE, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout
        return done.stdout

    def clear(self) -> None:
        containers = self.docker("ps", "--all", "--quiet", "--filter", f"name={self.mark}").split()
        if containers:
            self.docker("rm", "--force", *containers)
        services = self.services()
        if services:
            self.docker("service", "rm", *services)
        until(lambda: not self.tasks())


def until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.2)


@pytest.fixture
def swarm(cluster: Cluster) -> Iterator[SwarmClient]:
    swarm = SwarmClient(cluster)
    try:
        yield swarm
    finally:
        swarm.clear()


@pytest.fixture(scope="module")
def images(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Images:
    """Build and push the Python peers, and our own modules."""
    images = Images(f"{cluster.registry}/tests-original")
    driver = tmp_path_factory.mktemp("modules") / "driver"
    driver.mkdir()
    (driver / "main.py").write_text(DRIVER)
    folders = [driver, PEERS / "original_service", PEERS / "original_runner", EXAMPLES / "factor", EXAMPLES / "runner"]
    base = os.environ.get("PARCS_BASE_IMAGE", cluster.base)
    variables = {"LEADER_URL": cluster.leader_url, "PARCS_REGISTRY": images.registry, "PARCS_BASE_IMAGE": base}
    done = execute([*COMMAND, "build", *map(str, folders), "--push"], None, **variables)
    assert done.returncode == 0, done.stderr
    return images


@pytest.fixture(scope="module")
def go(cluster: Cluster, images: Images, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Build the peer in Go for the Swarm's machines, and push its image."""
    folder = tmp_path_factory.mktemp("go")
    try:
        packages.provide(folder, {"go": "golang-go"})
    except ClusterError as error:
        pytest.skip(f"no compiler for the peer in Go: {error}")
    docker = ("docker", "-H", cluster.leader_url)
    machine = command(*docker, "version", "--format", "{{.Server.Arch}}").strip()
    target = {"CGO_ENABLED": "0", "GOOS": "linux", "GOARCH": machine, "GOPROXY": "off"}
    subprocess.run(
        ["go", "build", "-o", folder / "peer", "."],
        cwd=PEERS / "go", env=os.environ | target, check=True, timeout=300,
    )  # fmt: skip
    shutil.copy(PEERS / "go" / "Dockerfile", folder)
    command(*docker, "build", "--quiet", "--tag", images["go"], folder)
    command(*docker, "push", "--quiet", images["go"])
    return images["go"]


# Runners of ours, services of theirs

DRIVER = """
import asyncio, json, os
from aioparcs import EndOfChannel, WorkerLost, run

IMAGE = os.environ["IMAGE"]

async def work(t, a, b):
    async with t:
        await t.send_all(["divisors"], 90, a, b)
        part = await t.recv()
        await t.send(["who"])
        return part, await t.recv()

async def together(runner):
    tasks = await asyncio.gather(*(runner.start(IMAGE, wire="v1") for _ in range(4)))
    results = await asyncio.gather(*(work(t, 1 + 90 * i // 4, 1 + 90 * (i + 1) // 4) for i, t in enumerate(tasks)))
    return {"divisors": sum((part for part, _ in results), []), "hosts": len({host for _, host in results})}

async def values(runner):
    async with runner.start(IMAGE, wire="v1") as t:
        sent = [None, True, 1, 1.5, "größer", [1, [2]], {"a": {"b": []}}, "x" * 3_000_000]
        await t.send(["echo", *sent])
        same = [await t.recv() for _ in sent] == sent
        await t.send(["leader"])
        return {"same": same, "leader": await t.recv()}

async def end(runner, *order):
    async with runner.start(IMAGE, wire="v1") as t:
        await t.send_all(["echo", 1], [*order])
        assert await t.recv() == 1
        try:
            await t.recv()
        except EndOfChannel:
            return "clean"
        except WorkerLost as error:
            return str(error).split(chr(10))[0], error.exitcode, error.last_lines[-1:]

async def kill(runner):
    t = await runner.start(IMAGE, wire="v1")
    began = asyncio.get_running_loop().time()
    await t.kill()
    return asyncio.get_running_loop().time() - began

PARTS = {
    "together": (together,), "values": (values,), "kill": (kill,), "exit 0": (end, "exit", 0),
    "exit 7": (end, "exit", 7), "half": (end, "half", 3), "die": (end, "die"),
}

async def main(runner):
    names = os.environ.get("PARTS", ",".join(PARTS)).split(",")
    report = await asyncio.gather(*(part(runner, *order) for part, *order in map(PARTS.get, names)))
    print(json.dumps(dict(zip(names, report))))

run(main)
"""


@pytest.fixture(params=["original_service", "original_runner", "go"])
def peer(request: pytest.FixtureRequest, images: Images) -> str:
    """Return the image of each peer, built."""
    return str(request.getfixturevalue("go") if request.param == "go" else images[request.param])


@pytest.mark.parametrize("peer", ["original_service", "go"], indirect=True)
def test_a_runner_drives_original_services(swarm: SwarmClient, images: Images, peer: str) -> None:
    report = json.loads(swarm.run(images["driver"], IMAGE=peer))
    assert report["together"] == {"divisors": DIVISORS, "hosts": 4}
    assert report["values"] == {"same": True, "leader": "OK"}
    assert report["kill"] < 5
    assert report["exit 0"] == "clean"
    for name, how, code, line in [
        ("exit 7", "ended with exit code 7", 7, "last words"),
        ("half", "ended with exit code 3", 3, "half a message"),
        ("die", "was killed by SIGKILL", None, "last words"),
    ]:
        reason, exitcode, last_lines = report[name]
        assert re.fullmatch(rf"worker {re.escape(peer)}:\d+ on \S+ {how}; its last lines:", reason)
        assert (exitcode, last_lines) == (code, [line])
    until(lambda: not swarm.workers(images))


def test_original_services_know_the_leader_of_a_runner_that_has_its_socket(cluster: Cluster, images: Images) -> None:
    local = LocalCluster.here()
    if local is None or local.nodes[0].url != cluster.leader_url:
        pytest.skip("the cluster is not on this machine, so its leader has no socket here")
    leader = f"unix://{local.nodes[0].socket}"
    variables = {"LEADER_URL": leader, "PARCS_REGISTRY": images.registry}
    arguments = ["-e", f"IMAGE={images['original_service']}", "-e", "PARTS=values"]
    done = execute([*COMMAND, "run", images["driver"], "--on", "swarm", *arguments], None, **variables)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"values": {"same": True, "leader": "OK"}}


# Runners of theirs, a service of ours


@pytest.mark.parametrize("peer", ["original_runner", "go"], indirect=True)
def test_an_original_runner_drives_a_service(swarm: SwarmClient, images: Images, peer: str) -> None:
    arguments = ["runner"] if peer == images["go"] else []
    answer = swarm.run(peer, *arguments, IMAGE=images["factor"], N="90", P="3")
    assert json.loads(answer) == DIVISORS
    services = swarm.services()
    assert len(services) == 3
    until(lambda: {task["Status"]["State"] for task in swarm.tasks()} == {"complete"})
    for service in services:
        lines = [re.sub(r"^\S+ \S+ - ", "", line) for line in swarm.logs(service).splitlines()]
        assert re.fullmatch(r"INFO Client from 10\.[\d.]+ connected", lines.pop(1))
        assert lines == ["INFO Welcome to PARCS-Python!", "INFO Running your program...", "INFO Bye!"]


# A runner of ours, started as the original's users type it


@contextmanager
def typed(swarm: SwarmClient, images: Images, *arguments: str, **env: str) -> Iterator[str]:
    """
    Create a runner's Swarm service, and return its name.

    Docker's command line waits until the service has been up for five seconds: forever, if it ends sooner.
    """
    name = f"runner-{swarm.mark}"
    named = json.dumps({"factor": f"{images['factor']}:latest"})  # there is no folder of that name in the container
    variables = {"LEADER_URL": swarm.cluster.leader_url, "PARCS_IMAGES": named} | env
    pairs = [word for variable, value in variables.items() for word in ("--env", f"{variable}={value}")]
    words = ["service", "create", "--network", "parcs", "--restart-condition", "none", *pairs, "--name", name]
    with subprocess.Popen(
        ["docker", "-H", swarm.cluster.leader_url, *words, *arguments, "--label", swarm.mark, images["runner"]],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True,
    ) as docker:  # fmt: skip
        try:
            yield name
        finally:
            docker.terminate()


@pytest.mark.parametrize("arguments", [(), ("--endpoint-mode", "dnsrr")], ids=["vip", "dnsrr"])
def test_a_runner_starts_as_in_the_original(swarm: SwarmClient, images: Images, arguments: tuple[str, ...]) -> None:
    with typed(swarm, images, *arguments, N="90", P="3") as runner:
        until(lambda: [task["Status"]["State"] for task in swarm.tasks()] == ["complete"])
    log = swarm.logs(runner).splitlines()
    notices = [line for line in log if line.startswith("swarm: ")]  # what the original doesn't warn of
    assert any(line.startswith("swarm: tcp://") for line in notices), "others may tell of a leader that is slow"
    lines = [line for line in log if line not in notices]
    assert lines[0] == f"90 has 12 divisors: {', '.join(map(str, DIVISORS))}"
    assert re.fullmatch(r"3 workers took [\d.]+ s", lines[1])
    assert len(lines) == 2
    until(lambda: not swarm.workers(images))  # Docker may show a task for a moment more


def test_a_runner_that_is_removed_leaves_nothing(swarm: SwarmClient, images: Images) -> None:
    with typed(swarm, images, N="9999999999999", P="1") as runner:
        until(lambda: [task["Status"]["State"] for task in swarm.workers(images)] == ["running"])
        swarm.docker("service", "rm", runner)
        until(lambda: not swarm.workers(images) and not swarm.tasks())


def test_a_runner_that_fails_says_so_in_its_log(swarm: SwarmClient, images: Images) -> None:
    with typed(swarm, images, N="ninety") as runner:
        until(lambda: [task["Status"]["State"] for task in swarm.tasks()] == ["failed"])
    assert swarm.logs(runner) == "N='ninety' is not a positive whole number\n"
    (task,) = swarm.tasks()
    assert task["Status"]["ContainerStatus"]["ExitCode"] == 1
