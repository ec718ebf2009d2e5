"""The commands about a submitted job, while it runs: the Swarm is an API that has only this job."""

import asyncio
import functools
import json
import re
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import COMMAND, execute, in_terminal, visible
from tests.support.jobs import family, module
from tests.support.one_job_swarm import OneJobSwarm, one_job_swarm, service

pytestmark = pytest.mark.one_loop

WORD = "0123456789abcdef"
WAITING = """
import time
from pathlib import Path
from aioparcs import serve

def wait(n, go):
    while n >= 5 and not Path(go).exists():
        time.sleep(0.01)
    return n

serve(wait)
"""
RUNNER = """
import os
from functools import partial
from aioparcs import run

async def main(runner):
    async with runner.pool("waiting", 2, progress="ten items") as pool:
        print(sum(await pool.starmap([(n, os.environ["GO"]) for n in range(10)])))

run(main)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Write a runner whose pool does half of its items, and the rest when a file is there."""
    module(tmp_path, "waiting", WAITING)
    return module(tmp_path, "main", RUNNER) / "main"


async def aioparcs(swarm: OneJobSwarm, *arguments: str, **env: str) -> Any:
    return await asyncio.to_thread(execute, [*COMMAND, *arguments], None, LEADER_URL=swarm.url, **env)


async def progress(swarm: OneJobSwarm) -> Any:
    done = await aioparcs(swarm, "ps", "--json")
    assert done.returncode == 0, done.stderr
    return next((job["progress"] for job in json.loads(done.stdout)), None)


async def half(swarm: OneJobSwarm) -> Any:
    """Wait until half of the items are done."""
    async with asyncio.timeout(60):
        while not (known := await progress(swarm)) or not known["pools"] or known["pools"][0]["done"] < 5:
            assert swarm.code is None
            await asyncio.sleep(0.2)  # `aioparcs ps` takes as much of a core
    return known


@pytest.mark.slow
async def test_ps_shows_the_progress_of_a_job_and_logs_its_text(folder: Path, tmp_path: Path) -> None:
    go = tmp_path / "go"
    async with one_job_swarm(folder, "-e", f"GO={go}") as swarm:
        swarm.submit(service(WORD))
        known = await half(swarm)
        assert not known["over"]
        (pool,), (waiting,) = known["pools"], known["modules"]
        assert (pool["pool"], pool["done"], pool["total"], pool["over"]) == ("ten items", 5, 10, False)
        assert (waiting["module"], waiting["workers"], waiting["connected"]) == ("waiting", 2, 2)
        text = await aioparcs(swarm, "logs", "j")
        assert (text.returncode, text.stdout) == (0, "")
        assert text.stderr.startswith("waiting: starting 2 workers\nwaiting: 2 of 2 connected\n")
        following = asyncio.create_task(aioparcs(swarm, "logs", "-f", "j"))
        go.touch()
        done = await following
        assert (done.returncode, done.stdout) == (0, "45\n")
        assert "\nten items: 10 of 10 items in " in done.stderr
        assert re.fullmatch(r"2 workers, \d+\.\d s", done.stderr.split("\n")[-2])
        assert "\x1e" not in done.stderr
        assert (await progress(swarm))["over"]


@pytest.mark.slow
async def test_logs_follow_a_job_on_a_terminal_by_the_live_display(folder: Path, tmp_path: Path) -> None:
    go = tmp_path / "go"
    async with one_job_swarm(folder, "-e", f"GO={go}") as swarm:
        swarm.submit(service(WORD))
        await half(swarm)
        following = asyncio.create_task(asyncio.to_thread(in_terminal, "logs", "-f", "j", LEADER_URL=swarm.url))
        go.touch()
        code, written = await following
        text = visible(written)
        assert code == 0, text
        assert re.search(r"(^|[\r\n])45\n", text)
        assert re.search(r"[\r\n]waiting +2 workers finished *\n", text)
        assert re.search(r"[\r\n]ten items +━+ +10 of 10  in ", text)
        assert "starting 2 workers" not in text
        assert "\x1e" not in text


@pytest.mark.slow
async def test_a_job_without_events_has_no_progress_and_all_its_text(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "go").touch()
    async with one_job_swarm(folder, "-e", f"GO={tmp_path / 'go'}") as swarm:
        swarm.submit(service(""))
        done = await aioparcs(swarm, "logs", "-f", "j")
        assert (done.returncode, done.stdout) == (0, "45\n")
        assert "waiting: 2 of 2 connected\n" in done.stderr
        assert await progress(swarm) is None


@pytest.mark.slow
async def test_output_that_docker_can_not_read_is_an_error_that_names_the_node(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "go").touch()
    async with one_job_swarm(folder, "-e", f"GO={tmp_path / 'go'}") as swarm:
        swarm.log_failure = (
            "Error grabbing logs: rpc error: code = Unknown desc = warning: incomplete log stream. "
            "some logs could not be retrieved for the following reasons: node p1zx15mhejdv is not available"
        )
        swarm.submit(service(""))
        done = await aioparcs(swarm, "logs", "j")
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == (
            f"error: Docker at {swarm.url}: the container's output can't be read: node node1 is not available; "
            "restart Docker on that node when its containers may end\n"
        )


@pytest.mark.slow
async def test_a_submitted_runner_is_shown_by_the_live_display(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "go").touch()
    async with one_job_swarm(folder, "-e", f"GO={tmp_path / 'go'}") as swarm:
        code, written = await asyncio.to_thread(
            in_terminal, "run", "r:5000/main", "--on", "swarm", LEADER_URL=swarm.url
        )
        text = visible(written)
        assert code == 0, text
        assert re.search(r"^runner: runs as job \w+; its containers: docker stack ps", text)
        assert re.search(r"[\r\n]45\n", text)
        assert re.search(r"[\r\n]waiting +2 workers finished *\n", text)
        assert re.search(r"[\r\n]ten items +━+ +10 of 10  in ", text)
        assert "starting 2 workers" not in text
        assert "\x1e" not in text
        assert written.rindex("\x1b[?25h") > written.rindex("\x1b[?25l"), "the cursor is hidden"


@pytest.mark.slow
async def test_a_submitted_runner_is_shown_in_lines_where_there_is_no_terminal(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "go").touch()
    async with one_job_swarm(folder, "-e", f"GO={tmp_path / 'go'}") as swarm:
        done = await aioparcs(swarm, "run", "r:5000/main", "--on", "swarm")
        assert (done.returncode, done.stdout) == (0, "45\n")
        lines = done.stderr.splitlines()
        assert lines[1:3] == ["waiting: starting 2 workers", "waiting: 2 of 2 connected"]
        assert re.fullmatch(r"2 workers, \d+\.\d s", lines[-1])


@pytest.mark.slow
@pytest.mark.fresh
async def test_a_submitted_runner_that_is_stopped_leaves_the_terminal_as_it_was(folder: Path, tmp_path: Path) -> None:
    async with one_job_swarm(folder, "-e", f"GO={tmp_path / 'never'}") as swarm:
        arguments = ("run", "r:5000/main", "--on", "swarm")
        running = asyncio.create_task(asyncio.to_thread(in_terminal, *arguments, LEADER_URL=swarm.url))
        await half(swarm)
        (command,) = (process for process in family() if "r:5000/main" in process.cmdline())
        command.send_signal(signal.SIGINT)
        code, written = await running
        assert code == 130, visible(written)
        assert written.rindex("\x1b[?25h") > written.rindex("\x1b[?25l"), "the cursor is hidden"
        assert (await aioparcs(swarm, "ps")).stdout.startswith("no jobs on ")


@pytest.mark.slow
async def test_a_submitted_runner_without_a_node_fails_after_start_timeout(folder: Path) -> None:
    async with one_job_swarm(folder) as swarm:
        swarm.is_full = True
        done = await aioparcs(swarm, "run", "r:5000/main", "--on", "swarm", PARCS_START_TIMEOUT="5")
        assert (done.returncode, done.stdout) == (1, "")
        _, note, error = done.stderr.splitlines()
        assert note == "runner: no suitable node"
        assert "the runner did not start within 5 s (PARCS_START_TIMEOUT): no suitable node" in error


@pytest.mark.slow
async def test_a_submitted_runner_that_has_no_node_yet_has_no_progress(folder: Path) -> None:
    async with one_job_swarm(folder) as swarm:
        swarm.is_full = True
        swarm.submit(service(WORD))
        done = await aioparcs(swarm, "ps", "--json")
        assert [(job["state"], job["progress"]) for job in json.loads(done.stdout)] == [("starting", None)]


@pytest.mark.slow
async def test_a_submitted_runner_gets_the_arguments_behind_two_dashes(tmp_path: Path) -> None:
    module(
        tmp_path, "main", "import sys\nfrom aioparcs import run\nasync def main(r): print(sys.argv[1:])\nrun(main)\n"
    )
    async with one_job_swarm(tmp_path / "main") as swarm:
        theirs = ("--verbose", "{{.Node.ID}}", "", "--")
        done = await aioparcs(swarm, "run", "-q", "r:5000/main", "--on", "swarm", "--", *theirs)
        assert (done.returncode, done.stdout) == (0, f"{list(theirs)}\n"), done.stderr


@pytest.mark.slow
async def test_a_submitted_job_is_explained_by_its_log(folder: Path, tmp_path: Path) -> None:
    go = tmp_path / "go"
    async with one_job_swarm(folder, "-e", f"GO={go}") as swarm:
        explain = functools.partial(aioparcs, swarm, "explain", XDG_STATE_HOME=str(tmp_path / "no jobs of other tests"))
        swarm.submit(service(WORD))
        await half(swarm)
        async with asyncio.timeout(60):
            while True:
                done = await explain("j")
                assert done.returncode == 0, done.stderr
                match = re.search(r"^pool ten items: waits for item \d: .* in worker (\d+)", done.stdout, re.M)
                if match and done.stdout.endswith('main.py", line 8 in wait\n'):  # its stack is read some seconds later
                    break
                await asyncio.sleep(0.5)  # `aioparcs explain` takes as much of a core
        assert re.match(r"j: its program runs on the cluster for ", done.stdout)
        known = json.loads((await explain("j", "--json")).stdout)
        assert (known["job"], known["engine"], known["state"]) == ("j", "swarm", "running")
        assert (known["items"]["done"], known["items"]["total"]) == (5, 10)
        one = await explain("j", match[1])
        assert f"worker {match[1]}: " in one.stdout, one.stderr
        missing = await explain("x")
        assert missing.returncode == 2
        assert "has a name that begins with 'x'; on the cluster there are: j\n" in missing.stderr
        go.touch()


@pytest.mark.slow
async def test_a_submitted_job_that_has_no_node_says_so(folder: Path, tmp_path: Path) -> None:
    async with one_job_swarm(folder) as swarm:
        swarm.is_full = True
        swarm.submit(service(WORD))
        done = await aioparcs(swarm, "explain", "j", XDG_STATE_HOME=str(tmp_path / "no jobs of other tests"))
        assert re.search(r"^job: its runner's container waits: no suitable node", done.stdout, re.M), done
