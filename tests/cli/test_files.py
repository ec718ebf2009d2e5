"""Inputs and outputs of a run: on this machine, and sent to a Swarm whose Docker is the tests' own and back."""

import asyncio
import os
import re
import shlex
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aioparcs.events import ProgramEnding
from aioparcs.recording import read_recording
from tests.support.command import COMMAND, execute, in_terminal, run, visible
from tests.support.jobs import family, module
from tests.support.one_job_swarm import OneJobSwarm, one_job_swarm
from tests.support.waiting import PATIENCE, until

pytestmark = [pytest.mark.one_loop, pytest.mark.slow]

RUNNER = """
import os, signal, sys
from pathlib import Path
from aioparcs import run

async def main(runner):
    Path("out/sub").mkdir(parents=True, exist_ok=True)
    for file in sorted(Path("data").rglob("*")):
        if file.is_file():
            (Path("out/sub") / file.name).write_bytes(file.read_bytes() * 2)
    Path("one.txt").write_text("from the runner")
    Path("other.txt").write_text("not asked for")
    print(runner.files == Path.cwd(), sorted(map(str, Path("data").rglob("*"))))
    if "kill" in sys.argv:
        os.kill(os.getpid(), signal.SIGKILL)
    if "fail" in sys.argv:
        sys.exit(3)

run(main)
"""
FILES = ("--send", "data", "--fetch", "out/", "--fetch", "one.txt")
NAMES = ["data/deep", "data/deep/b.bin", "data/empty", "data/link.txt"]


@pytest.fixture
def runner(tmp_path: Path) -> Path:
    """Write a runner that doubles files."""
    return module(tmp_path, "main", RUNNER) / "main"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Create the user's folder, with the runner's inputs."""
    here = tmp_path / "here"
    (here / "data" / "deep").mkdir(parents=True)
    (here / "data" / "empty").mkdir()
    (here / "data" / "deep" / "b.bin").write_bytes(os.urandom(3_000_001))
    (tmp_path / "elsewhere.txt").write_text("linked")
    (here / "data" / "link.txt").symlink_to("../../elsewhere.txt")
    return here


async def submit(swarm: OneJobSwarm, folder: Path, *arguments: str) -> Any:
    command = [*COMMAND, "run", "r:5000/main", "--on", "swarm", *arguments]
    return await asyncio.to_thread(execute, command, folder, LEADER_URL=swarm.url)


def check_fetched(folder: Path) -> None:
    assert (folder / "out/sub/b.bin").read_bytes() == (folder / "data/deep/b.bin").read_bytes() * 2
    assert (folder / "out/sub/link.txt").read_text() == "linkedlinked"
    assert (folder / "one.txt").read_text() == "from the runner"
    assert sorted(os.listdir(folder)) == ["data", "one.txt", "out"]


# On this machine


@pytest.mark.parametrize("where", [(), ("--on", "local")])
def test_here_a_runner_finds_its_files_where_they_are(runner: Path, folder: Path, where: tuple[str, ...]) -> None:
    done = run("run", runner, *where, *FILES, cwd=folder)
    assert (done.returncode, done.stdout) == (0, f"True {NAMES}\n"), done.stderr
    (folder / "other.txt").unlink()
    check_fetched(folder)


@pytest.mark.parametrize(
    "where, arguments, reason",
    [
        ("local", ["--send", "nothing"], "--send nothing: there is no {folder}/nothing"),
        ("swarm", ["--send", "gone"], "--send gone: gone is a link to nowhere, which is missing"),
        (
            "local",
            ["--send", "round"],
            "--send round: the link round/again leads to {folder}/round, a folder that it is in",
        ),
        ("swarm", ["--send", "pipe"], "--send pipe: pipe is neither a file nor a folder"),
        (
            "local",
            ["--send", "../main"],
            "--send ../main is not in the current folder; make a symbolic link to it here",
        ),
        ("swarm", ["--fetch", "/tmp/x"], "--fetch /tmp/x is not in the current folder"),
        ("local", ["--fetch", "data/.."], "--fetch data/.. is the current folder; name files and folders in it"),
        ("swarm", ["--fetch", ""], "--fetch '' is not a path"),
    ],
)
def test_paths_that_make_no_sense_are_refused(
    runner: Path, folder: Path, where: str, arguments: list[str], reason: str
) -> None:
    (folder / "gone").symlink_to("nowhere")
    (folder / "round").mkdir()
    (folder / "round" / "again").symlink_to("../round")
    os.mkfifo(folder / "pipe")
    done = run("run", runner, "--on", where, *arguments, cwd=folder)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"error: {reason.format(folder=folder)}\n")


def test_what_the_runner_has_not_written_is_an_error(runner: Path, folder: Path) -> None:
    done = run("run", "-q", runner, "--fetch", "result.txt", cwd=folder)
    message = f"error: --fetch result.txt: the runner has not written {folder}/result.txt\n"
    assert (done.returncode, done.stderr) == (1, message)
    assert run("run", runner, "--fetch", "result.txt", "--", "fail", cwd=folder).returncode == 3


# On a Swarm


async def test_files_are_sent_to_the_runner_and_fetched_from_it(runner: Path, folder: Path) -> None:
    async with one_job_swarm(runner) as swarm:
        done = await submit(swarm, folder, *FILES)
        assert (done.returncode, done.stdout) == (0, f"True {NAMES}\n"), done.stderr
        check_fetched(folder)
        lines = done.stderr.splitlines()
        assert lines[0] == "runner: sent 2 files, 3.0 MB"
        assert lines[-1] == "runner: fetched 3 files, 6.0 MB"
        assert swarm.files.is_gone, "the volume is left"


async def test_the_runner_is_placed_where_its_files_are(runner: Path, folder: Path) -> None:
    async with one_job_swarm(runner) as swarm:
        done = await submit(swarm, folder, "--send", "data", "--detach")
        job = done.stdout.strip()
        assert done.returncode == 0, done.stderr
        assert swarm._service
        template = swarm._service["Spec"]["TaskTemplate"]
        assert template["Placement"]["Constraints"] == ["node.role==manager", "node.id==p1zx15mhejdv"]
        assert template["ContainerSpec"]["Mounts"][1] == {
            "Type": "volume", "Source": f"parcs-{job}_files", "Target": "/parcs"
        }  # fmt: skip
        assert template["ContainerSpec"]["Command"][5:] == ["--send=data"]


async def test_files_that_are_here_already_are_replaced_and_others_stay(runner: Path, folder: Path) -> None:
    (folder / "out" / "sub").mkdir(parents=True)
    (folder / "out" / "sub" / "b.bin").write_text("old")
    (folder / "out" / "mine").write_text("stays")
    async with one_job_swarm(runner) as swarm:
        assert (await submit(swarm, folder, *FILES)).returncode == 0
        check_fetched(folder)
        assert (folder / "out" / "mine").read_text() == "stays"


async def test_a_folder_for_outputs_that_is_here_is_there_too(tmp_path: Path, folder: Path) -> None:
    text = "from aioparcs import run\nasync def main(r): open('results/x.txt', 'w').write('1')\nrun(main)\n"
    module(tmp_path, "main", text)
    (folder / "results").mkdir()
    (folder / "results" / "earlier").touch()
    async with one_job_swarm(tmp_path / "main") as swarm:
        done = await submit(swarm, folder, "--fetch", "results/x.txt")
        assert done.returncode == 0, done.stderr
        assert sorted(os.listdir(folder / "results")) == ["earlier", "x.txt"]


async def test_outputs_of_a_runner_that_failed_are_fetched(runner: Path, folder: Path) -> None:
    async with one_job_swarm(runner) as swarm:
        done = await submit(swarm, folder, *FILES, "--fetch", "missing", "--", "fail")
        assert done.returncode == 3
        check_fetched(folder)
        assert "error: --fetch missing: the runner has not written it\n" in done.stderr


async def test_outputs_of_a_runner_that_was_killed_are_fetched_unchecked(runner: Path, folder: Path) -> None:
    async with one_job_swarm(runner) as swarm:
        done = await submit(swarm, folder, *FILES, "--", "kill")
        assert done.returncode == 1
        check_fetched(folder)
        assert "it ended without listing its files; fetched what is there, unchecked: 3 files, 6.0 MB" in done.stderr
        assert swarm.files.folder is None


async def test_files_that_arrive_damaged_at_the_runner_are_not_used(runner: Path, folder: Path) -> None:
    async with one_job_swarm(runner) as swarm:
        swarm.files.is_sound = False
        done = await submit(swarm, folder, "--send", "data")
        assert (done.returncode, done.stdout) == (1, "")
        assert (
            "error: the files that were sent can't be used: data/deep/b.bin is not here as it was sent" in done.stderr
        )


async def test_a_node_without_room_is_an_error_and_nothing_is_left(runner: Path, folder: Path) -> None:
    async with one_job_swarm(runner) as swarm:
        swarm.files.has_room = False
        done = await submit(swarm, folder, *FILES)
        assert (done.returncode, done.stdout) == (1, "")
        assert "sending stopped after " in done.stderr
        # The kernel drops Docker's answer if Docker closes the connection while more is sent.
        reason = "(write /x: no space left on device|Docker has closed the connection)"
        assert re.search(f"{reason}; see whether that node's disk is full\n", done.stderr), done.stderr
        assert swarm.files.is_gone


async def test_a_node_that_takes_no_containers_is_an_error(runner: Path, folder: Path) -> None:
    async with one_job_swarm(runner) as swarm:
        swarm.availability = "drain"
        done = await submit(swarm, folder, *FILES)
        assert done.returncode == 1
        assert "need the runner on node1, which takes no containers (drain); docker node update" in done.stderr
        swarm.availability, swarm.files.workdir = "active", ""
        assert "r:5000/main has no folder for files; name one: WORKDIR" in (await submit(swarm, folder, *FILES)).stderr


async def test_outputs_that_can_not_be_written_here_stay_until_they_are_removed(runner: Path, folder: Path) -> None:
    (folder / "out").write_text("mine")
    async with one_job_swarm(runner) as swarm:
        done = await submit(swarm, folder, *FILES)
        assert done.returncode == 1
        assert swarm.files.holder
        (name,) = swarm.files.holder["Names"]
        job = name.removeprefix("/parcs-").removesuffix("_kept")
        assert done.stderr.splitlines()[-1] == (
            f"error: --fetch: {folder}/out is a file, and a folder of that name was fetched; rename one; "
            f"they stay on the cluster: aioparcs fetch {job} fetches them, aioparcs rm {job} removes them"
        )
        assert sorted(os.listdir(folder)) == ["data", "out"], "something was moved"
        listed = await asyncio.to_thread(run, "ps", LEADER_URL=swarm.url)
        assert (listed.stdout.splitlines()[1].split()[0], "kept" in listed.stdout) == (job, True)
        removed = await asyncio.to_thread(run, "rm", job, LEADER_URL=swarm.url)
        assert (removed.returncode, removed.stdout) == (0, f"removed job {job}: parcs-{job}_files\n"), removed.stderr
        assert swarm.files.is_gone


@pytest.mark.parametrize(
    "damage, reason",
    [
        (
            lambda tar: tar.replace(b"from the", b"from The"),
            "one.txt changed after its runner had ended, or was damaged",
        ),
        (lambda tar: tar[: len(tar) // 2], " arrived damaged: "),
    ],
    ids=["changed", "cut"],
)
async def test_outputs_that_arrive_damaged_are_not_used_and_stay(
    runner: Path, folder: Path, damage: Callable[[bytes], bytes], reason: str
) -> None:
    async with one_job_swarm(runner) as swarm:
        swarm.files.damage = damage
        done = await submit(swarm, folder, *FILES)
        assert done.returncode == 1
        assert reason in done.stderr
        assert "aioparcs rm" in done.stderr
        assert os.listdir(folder) == ["data"]
        assert swarm.files.holder


async def test_outputs_whose_connection_is_lost_stay(runner: Path, folder: Path) -> None:
    async with one_job_swarm(runner) as swarm:
        swarm.files.resume.set()
        swarm.files.is_cut = True
        done = await submit(swarm, folder, *FILES)
        assert done.returncode == 1
        assert "error: --fetch: Docker at " in done.stderr
        assert "can't be reached" in done.stderr
        assert os.listdir(folder) == ["data"]
        assert swarm.files.holder


async def interrupted(swarm: OneJobSwarm, folder: Path) -> Any:
    """Submit, and send SIGINT in the middle of the files."""
    submitting = asyncio.create_task(submit(swarm, folder, *FILES))
    async with asyncio.timeout(PATIENCE):
        await swarm.files.half_read.wait()
    (command,) = (process for process in family() if "r:5000/main" in process.cmdline())
    command.send_signal(signal.SIGINT)
    done = await submitting
    swarm.files.resume.set()
    return done


@pytest.mark.fresh
async def test_ctrl_c_while_files_are_sent_leaves_nothing(runner: Path, folder: Path) -> None:
    async with one_job_swarm(runner) as swarm:
        swarm.files.is_held = True
        done = await interrupted(swarm, folder)
        assert (done.returncode, done.stdout) == (130, ""), done.stderr
        assert "Traceback" not in done.stderr
        assert swarm.files.is_gone


@pytest.mark.fresh
async def test_ctrl_c_while_outputs_are_fetched_leaves_nothing(runner: Path, folder: Path) -> None:
    async with one_job_swarm(runner) as swarm:
        swarm.files.is_cut = True
        done = await interrupted(swarm, folder)
        assert done.returncode == 130, done.stderr
        assert "Traceback" not in done.stderr
        assert swarm.files.is_gone
        assert os.listdir(folder) == ["data"]


async def test_a_full_disk_here_leaves_the_outputs_on_the_cluster(runner: Path, folder: Path) -> None:
    async with one_job_swarm(runner) as swarm:
        script = f"ulimit -f 4000 && exec {shlex.join([*COMMAND, 'run', 'r:5000/main', '--on', 'swarm', *FILES])}"
        done = await asyncio.to_thread(execute, ["bash", "-c", script], folder, LEADER_URL=swarm.url)
        assert done.returncode == 1
        assert f"error: --fetch: {folder}/out/sub/b.bin: File too large; they stay on" in done.stderr
        assert os.listdir(folder) == ["data"]
        assert swarm.files.holder


@pytest.mark.fresh
async def test_ctrl_c_leaves_no_files_on_the_cluster_and_none_here(tmp_path: Path, folder: Path) -> None:
    text = "import asyncio\nfrom aioparcs import run\n"
    text += "async def main(r):\n    open('one.txt', 'w').close()\n    await asyncio.sleep(3600)\nrun(main)\n"
    module(tmp_path, "main", text)
    async with one_job_swarm(tmp_path / "main") as swarm:
        submitting = asyncio.create_task(submit(swarm, folder, *FILES))
        await until(lambda: swarm.files.folder is not None and (swarm.files.folder / "one.txt").exists())
        (command,) = (process for process in family() if "r:5000/main" in process.cmdline())
        command.send_signal(signal.SIGINT)
        assert (await submitting).returncode == 130
        assert swarm.files.is_gone
        assert os.listdir(folder) == ["data"]


async def test_files_of_the_runners_own_are_not_hidden(tmp_path: Path, folder: Path) -> None:
    module(tmp_path, "main", RUNNER)
    (tmp_path / "main" / "data").mkdir()
    async with one_job_swarm(tmp_path / "main") as swarm:
        command = [*COMMAND, "run", str(tmp_path / "main"), "--on", "swarm", "--send", "data"]
        done = await asyncio.to_thread(execute, command, folder, LEADER_URL=swarm.url)
        message = "error: --send data: the runner has another data in its own folder; rename one\n"
        assert (done.returncode, done.stderr) == (2, message)


async def test_a_terminal_shows_the_progress_of_files(runner: Path, folder: Path) -> None:
    async with one_job_swarm(runner) as swarm:
        words = shlex.join([*COMMAND, "run", "r:5000/main", "--on", "swarm", *FILES])
        script = f"cd {shlex.quote(str(folder))} && exec {words}"
        code, written = await asyncio.to_thread(in_terminal, command=["sh", "-c", script], LEADER_URL=swarm.url)
        text = visible(written)
        assert code == 0, text
        assert "sending " in text
        assert "fetching " in text
        assert text.rstrip().endswith("runner: fetched 3 files, 6.0 MB")
        assert written.rindex("\x1b[?25h") > written.rindex("\x1b[?25l"), "the cursor is hidden"


@pytest.mark.parametrize("how", ["option", "variable"])
async def test_the_recording_of_a_submitted_runner_is_fetched(runner: Path, folder: Path, how: str) -> None:
    arguments, env = (["--record", "out/run.jsonl"], {}) if how == "option" else ([], {"PARCS_RECORD": "out/run.jsonl"})
    (folder / "out").mkdir()
    async with one_job_swarm(runner) as swarm:
        command = [*COMMAND, "run", "r:5000/main", "--on", "swarm", "--send", "data", *arguments]
        done = await asyncio.to_thread(execute, command, folder, LEADER_URL=swarm.url, **env)
        assert done.returncode == 0, done.stderr
        assert done.stderr.splitlines()[-1].startswith("runner: fetched 1 file, ")
    recording = read_recording(folder / "out/run.jsonl")
    assert isinstance(recording.events[-1], ProgramEnding)
    assert recording.skipped == 0


@pytest.mark.parametrize(
    "arguments, reason",
    [
        (["--record", "../run.jsonl"], "--record ../run.jsonl is not in the current folder"),
        (["--record", "x", "--detach"], "--record fetches the recording at the runner's end; use it without --detach"),
    ],
)
def test_a_recording_that_cannot_be_fetched_is_refused(
    runner: Path, folder: Path, arguments: list[str], reason: str
) -> None:
    done = run("run", runner, "--on", "swarm", *arguments, cwd=folder)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"error: {reason}\n")
