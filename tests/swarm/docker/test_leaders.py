"""The ways to a real leader: with TLS, a Docker context, over ssh; and what is said of one that is open to all."""

import asyncio
import json
import os
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from aioparcs import ClusterError, SettingError
from aioparcs.swarm import open_docker, open_swarm
from tests.cluster.cluster import Cluster as OwnCluster
from tests.support.command import COMMAND, execute
from tests.support.docker_access import Certificates, sshd, tls_gate
from tests.support.jobs import MODULES
from tests.support.live import Cluster, left
from tests.support.submitted import RunningJob, build, containers, own, running_job

pytestmark = pytest.mark.one_loop

VARIABLES = ("LEADER_URL", "DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH")


@pytest.fixture(scope="module")
def talker(cluster: Cluster) -> str:
    return build(own(cluster), MODULES / "talker", "tests-leaders")


@pytest.fixture
def machine(cluster: Cluster) -> str:
    """Return the address of this machine that the nodes can dial."""
    here = OwnCluster.here()
    assert here
    return here.machine


@pytest.fixture(autouse=True)
def _nothing_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "docker").mkdir()
    (tmp_path / "docker" / "config.json").write_text("{}")
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))


@asynccontextmanager
async def job_over(leader: str | None = None, **variables: str) -> AsyncIterator[RunningJob]:
    """Enter a runner whose leader some variables name; they hold no longer than it looks for it."""
    async with AsyncExitStack() as stack:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in variables.items():
                patch.setenv(name, value)
            there = await stack.enter_async_context(running_job(leader))
        yield there


async def works(cluster: Cluster, talker: str, leader: str | None = None, **variables: str) -> list[str]:
    """Run a job over a leader; gives what was noted."""
    async with job_over(leader, **variables) as (runner, job, recorder):
        tasks = await runner.start_many(talker, 2)
        await asyncio.gather(*(task.send(["echo", "here"]) for task in tasks))
        assert await asyncio.gather(*(task.recv() for task in tasks)) == ["here"] * 2
    assert await asyncio.to_thread(left, cluster, job.id) == []
    return recorder.notes


# A leader that is open to all


async def test_an_open_leader_is_reported(cluster: Cluster, talker: str) -> None:
    host = cluster.leader_url.removeprefix("tcp://").partition(":")[0]
    assert await works(cluster, talker, cluster.leader_url) == [
        f"{cluster.leader_url} gives root on the cluster to anyone who can reach it; "
        f"safer: LEADER_URL=ssh://USER@{host}, or TLS, or aioparcs run --on swarm on a manager"
    ]


async def test_a_leaders_socket_is_not_reported_as_open(cluster: Cluster, talker: str, machine: str) -> None:
    # The runner is not on the leader's host, as it would be in life: its address can't be found out.
    assert await works(cluster, talker, f"unix://{cluster.nodes[0].socket}", PARCS_ADVERTISE=machine) == []


# A leader with TLS


def by_variables(certificates: Certificates) -> dict[str, str]:
    return {"DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(certificates.client)}


@pytest.mark.parametrize("variable", ["LEADER_URL", "DOCKER_HOST"])
async def test_a_leader_with_tls_by_dockers_variables(
    cluster: Cluster, talker: str, machine: str, tmp_path: Path, variable: str
) -> None:
    certificates = Certificates(tmp_path, machine)
    async with tls_gate(machine, certificates, cluster.nodes[0].socket) as port:
        variables = by_variables(certificates) | {variable: f"tcp://{machine}:{port}"}
        assert await works(cluster, talker, **variables) == []


async def test_a_leader_with_tls_by_a_context(cluster: Cluster, talker: str, machine: str, tmp_path: Path) -> None:
    certificates = Certificates(tmp_path, machine)
    async with tls_gate(machine, certificates, cluster.nodes[0].socket) as port:
        files = ",".join(f"{kind}={certificates.client / kind}.pem" for kind in ("ca", "cert", "key"))
        words = ["docker", "context", "create", "lab", "--docker", f"host=tcp://{machine}:{port},{files}"]
        done = await asyncio.to_thread(execute, words, DOCKER_CONFIG=str(tmp_path / "docker"))
        assert done.returncode == 0, done.stderr
        assert await works(cluster, talker, DOCKER_CONTEXT="lab") == []


# Runs in a worker's container: it requests the Swarm's services from each URL.
ASK = """
import json, ssl, sys, urllib.request
context = ssl.create_default_context()
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
for url in sys.argv[1:]:
    try:
        print("services", len(json.load(urllib.request.urlopen(f"{url}/services", timeout=10, context=context))))
    except Exception as error:
        print("refused", str(error).replace("\\n", " "))
"""


async def test_no_worker_can_use_a_leader_with_tls(cluster: Cluster, talker: str, machine: str, tmp_path: Path) -> None:
    certificates = Certificates(tmp_path, machine)
    async with (
        tls_gate(machine, certificates, cluster.nodes[0].socket) as port,
        job_over(f"tcp://{machine}:{port}", **by_variables(certificates)) as (runner, job, _),
    ):
        await runner.start(talker)
        (worker,) = await asyncio.to_thread(containers, cluster, job.id)
        urls = (f"https://{machine}:{port}", cluster.leader_url.replace("tcp:", "http:"))
        closed, opened = (await asyncio.to_thread(worker.run, "python", "-c", ASK, *urls)).splitlines()
    assert closed.startswith("refused ")
    assert opened.startswith("services "), "an open leader is open to workers too, as the warning says"


async def test_a_leader_with_another_certificate_is_refused(
    cluster: Cluster, machine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificates = Certificates(tmp_path, machine)
    (tmp_path / "other").mkdir()
    others = Certificates(tmp_path / "other", machine)
    (others.client / "ca.pem").write_bytes((certificates.client / "ca.pem").read_bytes())
    monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
    async with tls_gate(machine, certificates, own(cluster).nodes[0].socket) as port:
        url = f"tcp://{machine}:{port}"
        monkeypatch.setenv("DOCKER_CERT_PATH", str(certificates.client))
        async with open_swarm(url):
            pass
        monkeypatch.setenv("DOCKER_CERT_PATH", str(others.client))
        with pytest.raises(ClusterError, match=rf"https://{machine}:{port}: can't be reached"):
            async with open_docker(url):
                pass


# A leader over ssh


@pytest.fixture
def ssh(cluster: Cluster, machine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Yield the address of the leader over ssh, for a user whose home is this process's."""
    with socket.socket() as free:
        free.bind((machine, 0))
        port = free.getsockname()[1]
    with sshd(tmp_path, machine, port, own(cluster).nodes[0].socket) as home:
        monkeypatch.setenv("HOME", str(home))
        yield f"ssh://root@{machine}:{port}"


async def test_a_leader_over_ssh(cluster: Cluster, talker: str, ssh: str) -> None:
    assert await works(cluster, talker, LEADER_URL=ssh) == []


async def test_many_starts_at_once_over_ssh(cluster: Cluster, talker: str, ssh: str) -> None:
    async with running_job(ssh) as (runner, job, _):
        # More than the ten sessions that sshd allows one connection.
        tasks = await asyncio.gather(*(runner.start(talker) for _ in range(12)))
        await asyncio.gather(*(task.send(["echo", "here"]) for task in tasks))
        assert await asyncio.gather(*(task.recv() for task in tasks)) == ["here"] * 12
    assert await asyncio.to_thread(left, cluster, job.id, 40) == []


def test_commands_work_over_ssh(cluster: Cluster, ssh: str) -> None:
    done = execute([*COMMAND, "ps", "--json"], None, LEADER_URL=ssh, HOME=os.environ["HOME"])
    assert done.returncode == 0, done.stderr
    assert isinstance(json.loads(done.stdout), list)


async def test_a_leader_over_ssh_whose_key_is_another_one(ssh: str, tmp_path: Path) -> None:
    known = tmp_path / "home" / ".ssh" / "known_hosts"
    place = known.read_text().split(" ")[0]
    known.write_text(f"{place} {(tmp_path / 'home' / '.ssh' / 'id_ed25519.pub').read_text()}")
    with pytest.raises(ClusterError, match=rf"{ssh}: can't be reached: .*[Hh]ost key"):
        async with asyncio.timeout(60), open_docker(ssh):
            pass


async def test_a_leader_over_ssh_that_refuses_the_login(ssh: str, tmp_path: Path) -> None:
    (tmp_path / "home" / ".ssh" / "id_ed25519.pub").write_text("")
    with pytest.raises(ClusterError, match=rf"{ssh}: can't be reached: .*[Pp]ermission denied"):
        async with asyncio.timeout(60), open_docker(ssh):
            pass


async def test_ssh_without_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "asyncssh", None)  # Python's own way to say that there is none
    with pytest.raises(SettingError, match=r"needs the package asyncssh: install aioparcs\[ssh\]"):
        async with open_docker("ssh://root@10.0.0.1"):
            pass
