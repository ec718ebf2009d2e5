"""Files of the runner's folder that workers in containers find in theirs, on every node."""

import asyncio
import hashlib
import os
import re
from pathlib import Path

import pytest

from aioparcs import Runner, StartError
from tests.support.command import COMMAND, execute
from tests.support.jobs import EventRecorder, module
from tests.support.live import Cluster
from tests.support.submitted import build, containers, own
from tests.support.swarm_jobs import Job
from tests.support.waiting import until

pytestmark = pytest.mark.one_loop

READER = """
import hashlib
import socket
from aioparcs import serve

def digest(name):
    with open(name, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest(), socket.gethostname()

serve(digest)
"""
PROGRAM = """
import hashlib
import socket
from aioparcs import run

def digest(name):
    with open(name, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest(), socket.gethostname()

async def main(runner):
    async with runner.pool(digest, 6, files=["data"]) as pool:
        found = await pool.map(["data/deep/words.txt"] * 60)
    print(len({host for _, host in found}), *{digest for digest, _ in found})

run(main)
"""
LARGE = 200 << 20
PATIENCE = 90.0


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """Create the runner's folder, with a small file."""
    module(tmp_path, "reader", READER)
    (tmp_path / "here" / "data" / "deep").mkdir(parents=True)
    (tmp_path / "here" / "data" / "deep" / "words.txt").write_text("apple bean\n")
    return tmp_path / "here"


@pytest.fixture
def reader(cluster: Cluster, here: Path) -> str:
    """Build an image of functions that read files; return its reference."""
    return build(own(cluster), here.parent / "reader", "tests-worker-files")


def read_from(runner: Runner, here: Path) -> None:
    """Set the runner's folder, in place of that of the tests."""
    runner._job.supervisor._files._folder = here


def peak(*, reset: bool = False) -> int:
    """Return the most memory that this process has had at once, in KiB; since the last reset."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1])


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


async def test_workers_on_all_nodes_have_the_files_and_so_has_a_container_that_replaces_one(
    cluster: Cluster, job: Job, here: Path, reader: str
) -> None:
    recorder = EventRecorder()
    async with job(recorder=recorder) as runner:
        read_from(runner, here)
        async with asyncio.timeout(2 * PATIENCE), runner.pool(reader, 6, files=["data"], retries=3) as pool:
            expected = digest(here / "data/deep/words.txt")
            found = await pool.map(["data/deep/words.txt"] * 200)
            assert {one for one, _ in found} == {expected}
            before = {host for _, host in found}
            assert len(before) == len(cluster.nodes)
            assert "sends 1 file, 0.0 MB to 3 containers" in recorder.notes
            lost = next(one for one in await asyncio.to_thread(containers, cluster, runner.job) if one.node == 1)
            await asyncio.to_thread(cluster.docker, "kill", lost.id, node=1)

            async def is_replaced() -> bool:
                hosts = {host for one, host in await pool.map(["data/deep/words.txt"] * 200) if one == expected}
                return len(hosts - before) > 0 and lost.id[:12] not in hosts

            while not await is_replaced():
                pass


async def test_a_large_file_takes_little_memory(cluster: Cluster, job: Job, here: Path, reader: str) -> None:
    with (here / "data" / "big").open("wb") as file:
        for _ in range(LARGE >> 20):
            file.write(os.urandom(1 << 20))
    async with job() as runner:
        read_from(runner, here)
        before = peak(reset=True)
        async with asyncio.timeout(4 * PATIENCE), runner.pool(reader, 3, files=["data"]) as pool:
            grown = peak() - before
            found = await pool.map(["data/big"] * 6)
            assert {one for one, _ in found} == {digest(here / "data/big")}
            for container in await asyncio.to_thread(containers, cluster, runner.job):
                lines = await asyncio.to_thread(container.run, "sh", "-c", "grep -h VmHWM /proc/[0-9]*/status")
                most = max(int(line.split()[1]) for line in lines.splitlines())
                print("kB at most in the container's processes:", most)
                assert most < 120 << 10, lines
        print("kB more in the runner:", grown)
        assert grown < 60 << 10


@pytest.mark.parametrize(
    "files, mounts, reason",
    [
        (
            ["main.py"],
            [],
            "/parcs/main.py is another file than the one that was sent; rename one, or name that of an image",
        ),
        (
            ["data"],
            [{"Type": "tmpfs", "Target": "/parcs/data", "TmpfsOptions": {"SizeBytes": 1 << 20}}],
            "/parcs/data/deep/words.txt: Invalid cross-device link; it is a mount of its own, and can't be sent files",
        ),
    ],
    ids=["the image's own", "a mount"],
)
async def test_what_can_not_be_written_is_one_clear_error(
    job: Job, here: Path, reader: str, files: list[str], mounts: list[object], reason: str
) -> None:
    (here / "main.py").write_text("another")
    async with job() as runner:
        read_from(runner, here)
        with pytest.raises(StartError) as raised:
            await runner.start(reader, files=files, swarm={"mounts": mounts})
        pattern = rf"it did not get its files( on node\d)?: {re.escape(reason)}"
        assert re.match(pattern, raised.value.reason), raised.value.reason


async def test_a_container_that_is_lost_while_it_receives_is_an_error(
    cluster: Cluster, job: Job, here: Path, reader: str
) -> None:
    with (here / "data" / "big").open("wb") as file:
        file.truncate(8 << 30)  # zeros that take no room here
    async with asyncio.timeout(PATIENCE), job() as runner:
        read_from(runner, here)
        starting = asyncio.ensure_future(runner.start(reader, files=["data/big"])._start())
        await until(lambda: bool(runner._job.registry.launchers), PATIENCE)
        (container,) = await asyncio.to_thread(containers, cluster, runner.job)
        await asyncio.to_thread(cluster.docker, "kill", container.id, node=container.node)
        with pytest.raises(StartError, match="its launcher was killed by SIGKILL"):
            await starting


@pytest.mark.alone
def test_a_submitted_program_finds_what_it_was_sent_in_its_workers(cluster: Cluster, here: Path) -> None:
    module(here.parent, "main", PROGRAM)
    variables = {
        "LEADER_URL": f"unix://{own(cluster).nodes[0].socket}",
        "PARCS_REGISTRY": f"{cluster.registry}/tests-worker-files",
        "PARCS_BASE_IMAGE": cluster.base,
    }
    done = execute([*COMMAND, "run", "../main", "--on", "swarm", "--send", "data"], here, **variables)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{len(cluster.nodes)} {digest(here / 'data/deep/words.txt')}\n"
