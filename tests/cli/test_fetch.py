"""``aioparcs fetch``: the outputs of a runner that nothing waits for, on a Swarm whose Docker is the tests' own."""

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import COMMAND, execute
from tests.support.jobs import module
from tests.support.one_job_swarm import OneJobSwarm, one_job_swarm
from tests.support.waiting import PATIENCE, until

pytestmark = [pytest.mark.one_loop, pytest.mark.slow]

RUNNER = """
import asyncio, os, signal, sys
from pathlib import Path
from aioparcs import run

async def main(runner):
    Path("out/sub").mkdir(parents=True)
    Path("out/sub/numbers.bin").write_bytes(Path("data.bin").read_bytes() * 2)
    Path("out/log.txt").write_text("from the runner")
    Path("other.txt").write_text("not asked for")
    while "wait" in sys.argv and not Path("go").exists():
        await asyncio.sleep(0.05)
    if "kill" in sys.argv:
        os.kill(os.getpid(), signal.SIGKILL)
    if "fail" in sys.argv:
        sys.exit(3)

run(main)
"""


@pytest.fixture
def runner(tmp_path: Path) -> Path:
    """Write a runner that writes files, and may go on until a file is there."""
    return module(tmp_path, "main", RUNNER) / "main"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Create the user's folder, with the runner's input."""
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "data.bin").write_bytes(os.urandom(2_000_001))
    return tmp_path / "here"


async def aioparcs(swarm: OneJobSwarm, folder: Path, *arguments: str) -> Any:
    return await asyncio.to_thread(execute, [*COMMAND, *arguments], folder, LEADER_URL=swarm.url)


async def detach(swarm: OneJobSwarm, folder: Path, *arguments: str, fetch: tuple[str, ...] = ("out",)) -> str:
    """Submit the runner with its input, and return the name of the job."""
    names = (f"--fetch={name}" for name in fetch)
    command = ("run", "r:5000/main", "--on", "swarm", "--detach", "--send", "data.bin", *names, "--", *arguments)
    done = await aioparcs(swarm, folder, *command)
    assert done.returncode == 0, done.stderr
    job = str(done.stdout.strip())
    assert (f"fetch its files with aioparcs fetch {job}, " in done.stderr) == bool(fetch), done.stderr
    return job


async def ended(swarm: OneJobSwarm) -> None:
    await until(lambda: swarm.code is not None)


def check_fetched(folder: Path) -> None:
    assert (folder / "out/sub/numbers.bin").read_bytes() == (folder / "data.bin").read_bytes() * 2
    assert (folder / "out/log.txt").read_text() == "from the runner"
    assert sorted(os.listdir(folder)) == ["data.bin", "out"]


async def test_outputs_are_fetched_when_the_runner_has_ended_and_stay_until_they_are_removed(
    runner: Path, folder: Path
) -> None:
    async with one_job_swarm(runner) as swarm:
        job = await detach(swarm, folder, "wait", fetch=("out/", "two words"))
        early = await aioparcs(swarm, folder, "fetch", job)
        assert (early.returncode, early.stdout, early.stderr) == (
            1, "", f"error: the runner of job {job} has not ended; fetch its files then: aioparcs fetch --wait {job}\n"
        )  # fmt: skip
        waiting = asyncio.create_task(aioparcs(swarm, folder, "fetch", "--wait", job))
        listed = await aioparcs(swarm, folder, "ps")
        assert listed.stdout.splitlines()[1].endswith("  out, two words")
        assert swarm.files.folder
        (swarm.files.folder / "two words").write_text("1")
        (swarm.files.folder / "go").touch()
        async with asyncio.timeout(PATIENCE):
            done = await waiting
        fetched = f"fetched 3 files, 4.0 MB\naioparcs rm {job} removes them from the cluster\n"
        assert (done.returncode, done.stdout) == (0, fetched), done.stderr
        assert done.stderr in ("", f"waiting for the end of job {job}\n")
        (folder / "two words").unlink()
        check_fetched(folder)
        (folder / "out" / "log.txt").write_text("changed here")
        assert (await aioparcs(swarm, folder, "fetch", job)).stdout == fetched
        (folder / "two words").unlink()
        check_fetched(folder)
        removed = await aioparcs(swarm, folder, "rm", job)
        assert removed.stdout == f"removed job {job}: parcs-{job}_runner, parcs-{job}_files\n", removed.stderr
        assert swarm.files.is_gone


async def test_paths_choose_what_is_fetched(runner: Path, folder: Path) -> None:
    async with one_job_swarm(runner) as swarm:
        job = await detach(swarm, folder)
        await ended(swarm)
        (one,) = json.loads((await aioparcs(swarm, folder, "ps", "--json")).stdout)
        assert (one["state"], one["fetch"]) == ("done", ["out"])
        done = await aioparcs(swarm, folder, "fetch", job, "out/log.txt", "out/nothing")
        assert (done.returncode, done.stderr) == (1, "error: out/nothing: the runner has not written it\n")
        assert done.stdout == f"fetched 1 file, 15 bytes\naioparcs rm {job} removes them from the cluster\n"
        assert os.listdir(folder / "out") == ["log.txt"]
        unlisted = await aioparcs(swarm, folder, "fetch", job, "other.txt", "out")
        assert (unlisted.returncode, unlisted.stderr) == (0, "")
        assert unlisted.stdout.splitlines()[:2] == [
            "fetched 3 files, 4.0 MB", "1 of them unchecked, which the runner's listing does not have: other.txt"
        ]  # fmt: skip
        assert (folder / "other.txt").read_text() == "not asked for"
        nothing = await aioparcs(swarm, folder, "fetch", job, "nothing")
        assert (nothing.returncode, nothing.stdout) == (1, "")
        outside = await aioparcs(swarm, folder, "fetch", job, "../x")
        assert (outside.returncode, outside.stderr) == (2, "error: ../x is not in the current folder\n")


@pytest.mark.parametrize("end", ["fail", "kill"])
async def test_outputs_of_a_runner_that_did_not_end_well_are_fetched(runner: Path, folder: Path, end: str) -> None:
    async with one_job_swarm(runner) as swarm:
        job = await detach(swarm, folder, end)
        await ended(swarm)
        done = await aioparcs(swarm, folder, "fetch", job)
        assert done.returncode == 0, done.stderr
        assert (
            f"runner: ended {'(task: non-zero exit (137))' if end == 'kill' else 'with exit code 3'}\n" in done.stderr
        )
        unchecked = "runner: it ended without listing its files; fetched what is there, unchecked: 2 files, 4.0 MB"
        assert (unchecked in done.stderr) == (end == "kill")
        check_fetched(folder)


async def test_outputs_that_could_not_be_written_are_fetched_later(runner: Path, folder: Path) -> None:
    (folder / "out").write_text("mine")
    async with one_job_swarm(runner) as swarm:
        command = ("run", "r:5000/main", "--on", "swarm", "--send", "data.bin", "--fetch", "out")
        failed = await aioparcs(swarm, folder, *command)
        assert failed.returncode == 1
        job = failed.stderr.split()[-3]
        again = await aioparcs(swarm, folder, "fetch", job)
        assert again.returncode == 1
        assert again.stderr == (
            f"error: {folder}/out is a file, and a folder of that name was fetched; rename one; "
            f"the files of job {job} stay on the cluster\n"
        )
        (folder / "out").unlink()
        done = await aioparcs(swarm, folder, "fetch", job)
        assert (done.returncode, done.stderr) == (0, "")
        check_fetched(folder)
        assert swarm.files.holder
        assert (await aioparcs(swarm, folder, "rm", job)).returncode == 0
        assert swarm.files.is_gone


async def test_outputs_that_arrive_damaged_are_not_used(runner: Path, folder: Path) -> None:
    async with one_job_swarm(runner) as swarm:
        job = await detach(swarm, folder)
        await ended(swarm)
        swarm.files.damage = lambda tar: tar.replace(b"from the", b"from The")
        done = await aioparcs(swarm, folder, "fetch", job)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith("error: out/log.txt changed after its runner had ended, or was damaged")
        assert os.listdir(folder) == ["data.bin"]
        swarm.files.damage = bytes
        assert (await aioparcs(swarm, folder, "fetch", job)).returncode == 0
        check_fetched(folder)


async def test_a_job_whose_files_have_no_names_or_are_elsewhere_says_so(runner: Path, folder: Path) -> None:
    async with one_job_swarm(runner) as swarm:
        job = await detach(swarm, folder, fetch=())
        await ended(swarm)
        unnamed = await aioparcs(swarm, folder, "fetch", job)
        assert (unnamed.returncode, unnamed.stderr) == (
            2, f"error: job {job} was started without --fetch; name what to fetch: aioparcs fetch {job} PATH\n"
        )  # fmt: skip
        assert (await aioparcs(swarm, folder, "fetch", job, "out")).returncode == 0
        check_fetched(folder)
        swarm.files.holder = None
        elsewhere = await aioparcs(swarm, folder, "fetch", job)
        where = "the node of the manager through which it was submitted"
        assert (elsewhere.returncode, elsewhere.stderr) == (
            1, f"error: the files of job {job} are on {where}; name its Docker API in LEADER_URL\n"
        )  # fmt: skip


async def test_a_job_that_never_had_files_says_so(runner: Path, folder: Path) -> None:
    async with one_job_swarm(runner) as swarm:
        done = await aioparcs(swarm, folder, "run", "r:5000/main", "--on", "swarm", "--detach")
        unknown = await aioparcs(swarm, folder, "fetch", "nothing")
        assert unknown.returncode == 2
        assert unknown.stderr.startswith("error: there is no job 'nothing' on ")
        without = await aioparcs(swarm, folder, "fetch", done.stdout.strip())
        assert without.returncode == 2
        assert "has no files to fetch: its run had neither --fetch nor --send" in without.stderr
