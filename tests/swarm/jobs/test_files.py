"""Inputs and outputs of submitted jobs on a real Swarm, and the arguments of their runners."""

import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.command import COMMAND, ENVIRONMENT, execute
from tests.support.jobs import MODULES, module
from tests.support.live import PATIENCE, Cluster
from tests.support.submitted import build, own

RUNNER = """
import hashlib, os, signal, sys
from pathlib import Path
from aioparcs import run

def setup(data):
    global DATA
    DATA = data

def digest(n):
    return [hashlib.sha256(DATA).hexdigest(), sys.argv[1:], os.path.exists("data")]

async def main(runner):
    big = (runner.files / "data/deep/big").read_bytes()
    Path("out").mkdir(exist_ok=True)
    Path("out/twice").write_bytes(big * 2)
    os.symlink("twice", "out/link")
    os.symlink("/etc/hostname", "out/away")
    if "kill" in sys.argv:
        os.kill(os.getpid(), signal.SIGKILL)
    async with runner.pool(digest, 2, setup={"data": big}) as pool:
        for one in await pool.map(range(2)):
            print(*one)
    print(sys.argv[1:], flush=True)
    if "wait" in sys.argv:
        import asyncio
        await asyncio.sleep(600)

run(main)
"""
SIZE = 32 << 20  # more than any buffer on the way
FILES = ("--send", "data", "--fetch", "out")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Create the user's folder, with the runner's input, and a runner beside it."""
    module(tmp_path, "main", RUNNER)
    (tmp_path / "here" / "data" / "deep").mkdir(parents=True)
    (tmp_path / "here" / "data" / "deep" / "big").write_bytes(os.urandom(SIZE))
    return tmp_path / "here"


def environment(cluster: Cluster) -> dict[str, str]:
    """Return what names the leader by its socket, which the runner needs too, and a path of the registry."""
    variables = {
        "LEADER_URL": f"unix://{own(cluster).nodes[0].socket}",
        "PARCS_REGISTRY": f"{cluster.registry}/tests-files",
    }
    return ENVIRONMENT | cluster.environment | variables


@contextmanager
def submitting(cluster: Cluster, folder: Path, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    command = [*COMMAND, "run", "../main", "--on", "swarm", *arguments]
    with subprocess.Popen(
        command, cwd=folder, env=environment(cluster), stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        try:
            yield process
        finally:
            process.terminate()


def submit(cluster: Cluster, folder: Path, *arguments: str) -> tuple[int, list[str], str]:
    with submitting(cluster, folder, *arguments) as process:
        output, errors = process.communicate(timeout=2 * PATIENCE)
    return process.returncode, output.splitlines(), errors


def aioparcs(cluster: Cluster, folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return execute([*COMMAND, *arguments], folder, **environment(cluster))


def left(cluster: Cluster) -> list[str]:
    """Name the volumes and containers with files of jobs."""
    label = ("--filter", "label=io.aioparcs.files")
    volumes = cluster.docker("volume", "ls", "--quiet", *label, node=0)
    return [*volumes.split(), *cluster.docker("ps", "--all", "--quiet", *label, node=0).split()]


def test_files_and_arguments_reach_a_runner_and_its_outputs_come_back(cluster: Cluster, folder: Path) -> None:
    theirs = ["--verbose", "{{.Node.ID}}", "two words"]
    code, lines, errors = submit(cluster, folder, *FILES, "--", *theirs)
    assert code == 0, errors
    big = (folder / "data/deep/big").read_bytes()
    assert lines == [f"{hashlib.sha256(big).hexdigest()} {theirs} False"] * 2 + [f"{theirs}"]
    assert (folder / "out/twice").read_bytes() == big * 2
    assert os.readlink(folder / "out/link") == "twice"
    assert sorted(os.listdir(folder / "out")) == ["link", "twice"]
    assert "runner: sent 1 file, 33.6 MB\n" in errors
    assert "runner: fetched 1 file, 67.1 MB\n" in errors
    assert "left out, neither files nor links inside what is fetched: out/away\n" in errors
    assert left(cluster) == []


def test_outputs_of_a_runner_that_was_killed_come_back_unchecked(cluster: Cluster, folder: Path) -> None:
    code, _, errors = submit(cluster, folder, *FILES, "--", "kill")
    assert code == 137, errors
    assert "error: the runner was killed by SIGKILL\n" in errors
    assert (folder / "out/twice").stat().st_size == 2 * SIZE
    assert "it ended without listing its files; fetched what is there, unchecked: 1 file, 67.1 MB" in errors
    assert left(cluster) == []


def test_ctrl_c_leaves_no_files(cluster: Cluster, folder: Path) -> None:
    with submitting(cluster, folder, *FILES, "--", "wait") as process:
        assert process.stdout
        while process.stdout.readline() != "['wait']\n":
            assert process.poll() is None
        assert len(left(cluster)) == 2
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130, errors
    assert os.listdir(folder) == ["data"]
    assert left(cluster) == []


def test_ctrl_c_while_files_are_sent_leaves_none(cluster: Cluster, folder: Path) -> None:
    with (folder / "data" / "more").open("wb") as file:
        file.truncate(1 << 30)  # zeros that take no room here
    with submitting(cluster, folder, *FILES) as process:
        while not left(cluster):
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130, errors
    assert "sent " not in errors
    assert left(cluster) == []


def test_outputs_that_can_not_be_written_here_stay_until_they_are_removed(cluster: Cluster, folder: Path) -> None:
    (folder / "out").write_text("mine")
    code, _, errors = submit(cluster, folder, *FILES)
    last = errors.splitlines()[-1]
    assert (code, f"{folder}/out is a file" in last) == (1, True), errors
    job = last.split()[-3]
    try:
        shown = aioparcs(cluster, folder, "ps")
        assert "kept" in next(line for line in shown.stdout.splitlines() if line.startswith(job))
        (folder / "out").unlink()
        fetched = aioparcs(cluster, folder, "fetch", job)
        assert fetched.returncode == 0, fetched.stderr
        assert (folder / "out/twice").stat().st_size == 2 * SIZE
    finally:
        removed = aioparcs(cluster, folder, "rm", job)
    assert (removed.returncode, removed.stdout) == (0, f"removed job {job}: parcs-{job}_files\n"), removed.stderr
    assert left(cluster) == []


def test_outputs_of_a_detached_runner_are_fetched_later(cluster: Cluster, folder: Path) -> None:
    code, lines, errors = submit(cluster, folder, *FILES, "--detach")
    assert (code, len(lines)) == (0, 1), errors
    (job,) = lines
    try:
        done = aioparcs(cluster, folder, "fetch", "--wait", job)
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines() == [
            "fetched 1 file, 67.1 MB",
            "left out, neither files nor links inside what is fetched: out/away",
            f"aioparcs rm {job} removes them from the cluster",
        ]
        big = (folder / "data/deep/big").read_bytes()
        assert (folder / "out/twice").read_bytes() == big * 2
        shown = aioparcs(cluster, folder, "ps")
        (row,) = (line for line in shown.stdout.splitlines() if line.startswith(job))
        assert (row.split()[-1], "done" in row) == ("out", True)
        one = aioparcs(cluster, folder, "fetch", job, "out/twice", "main.py")
        assert (one.returncode, one.stderr) == (0, ""), "it stays, and so does the rest of the runner's folder"
        assert (folder / "main.py").read_text() == RUNNER
    finally:
        removed = aioparcs(cluster, folder, "rm", job)
    assert removed.returncode == 0, removed.stderr
    assert left(cluster) == []


ABANDON = """
import asyncio, sys
from aioparcs.swarm import open_swarm
from aioparcs.swarm.jobs.files import JobFiles

async def main():
    async with open_swarm() as swarm:
        files = await JobFiles.create(swarm, "f11e5", sys.argv[1])
        print(files.volume.folder)

asyncio.run(main())
"""


@pytest.mark.alone  # a command of another test would be that next one
def test_files_of_a_submitter_that_died_are_removed_by_the_next_command(cluster: Cluster) -> None:
    talker = build(own(cluster), MODULES / "talker", "tests-files")
    made = execute([sys.executable, "-c", ABANDON, talker], None, **environment(cluster))
    assert (made.returncode, made.stdout) == (0, "/parcs\n"), made.stderr
    assert len(left(cluster)) == 2
    done = execute([*COMMAND, "ps"], None, **environment(cluster))
    assert (done.returncode, "removed what was left of job f11e5\n" in done.stderr) == (0, True), done.stderr
    assert left(cluster) == []
