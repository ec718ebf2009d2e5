"""The command that explains a job: real programs that wait for all that they may wait for."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from aioparcs.cli.explain import Explained, _explain_local
from aioparcs.recording.store import histories, is_running
from tests.support.command import COMMAND, ENVIRONMENT, execute
from tests.support.jobs import module
from tests.support.waiting import until

pytestmark = [pytest.mark.one_loop, pytest.mark.slow]

HEAD = """
import asyncio, os, time
from aioparcs import Retry, Runner, Service, run

def square(n):
    return n * n

def slow(n):
    time.sleep(60 * n)

def fail(n):
    raise ValueError(n)

class Deaf(Service):
    async def run(self):
        await self.send("ready")
        await asyncio.sleep(60)

class Listener(Service):
    async def run(self):
        await self.recv()

async def gen():
    yield 1
    await asyncio.sleep(60)
    yield 2

"""
PROGRAMS = {
    "a slow item": """
async def main(runner):
    async with runner.pool(slow, 2) as pool:
        await pool.map([0, 0, 1])
""",
    "its rate": """
async def main(runner):
    async with runner.pool(square, 2, rate="1/h") as pool:
        await pool.map(range(5))
""",
    "a retry": """
async def main(runner):
    async with runner.pool(fail, 1, retries=Retry(3, on=(ValueError,), backoff=60)) as pool:
        await pool.map([1])
""",
    "its generator": """
async def main(runner):
    async with runner.pool(square, 2) as pool:
        await pool.map(gen())
""",
    "its loop": """
async def main(runner):
    async with runner.pool(square, 1) as pool:
        async for _ in pool.imap(range(100_000)):
            await asyncio.sleep(60)
""",
    "a pool that is done": """
async def main(runner):
    async with runner.pool(square, 2) as pool:
        await pool.map(range(5))
        await asyncio.sleep(60)
""",
    "a worker that does not read": """
async def main(runner):
    async with runner.start(Deaf) as t:
        await t.recv()
        while True:
            await t.send(bytes(8 << 20))
""",
    "messages": """
async def main(runner):
    async with runner.start(Listener) as t:
        await t.recv()
""",
    "its own code": """
async def main(runner):
    time.sleep(60)
""",
}
EXPECTED: dict[str, tuple[str, str, str]] = {  # subject, a part of the text, and of the stacks
    "a slow item": ("pool slow", "waits for item 2: (1) in worker ", " in slow"),
    "its rate": ("pool square", "waits for its rate limit", ""),
    "a retry": ("pool fail", " s for a retry", ""),
    "its generator": ("pool square", "the program's own generator", " in gen"),
    "its loop": ("pool square", "the program's own loop over them has not asked for the next one", " in main"),
    "a pool that is done": ("pool square", "has done all of its 5 items, and the program has not left it", " in main"),
    "a worker that does not read": ("worker 0", "does not read what it was sent: ", " in run"),
    "messages": ("job", "1 worker is connected, and no call is known to run", " in main"),
    "its own code": ("job", "has not started a worker yet: the program runs its own code", " in main"),
}


@contextmanager
def program(folder: Path, text: str, **env: str) -> Iterator[Path]:
    """Run a program until the block ends; provide the folder for the histories of its user."""
    state = folder / "state"
    module(folder, "job", f"{HEAD}{text}\nrun(main)\n")
    command = [sys.executable, str(folder / "job" / "main.py")]
    environment = ENVIRONMENT | {"XDG_STATE_HOME": str(state), "PARCS_RECORD": str(folder / "run.jsonl")} | env
    with subprocess.Popen(command, env=environment, stdout=-1, stderr=-1, text=True) as process:
        try:
            yield state
        finally:
            process.kill()
            process.communicate()


async def history(state: Path) -> Path:
    await until(lambda: histories(state / "aioparcs" / "jobs"))
    (path,) = histories(state / "aioparcs" / "jobs")
    return path


def _is_over(path: Path) -> bool:
    return not is_running(path)


async def explained(path: Path, is_so: Callable[[Explained], object]) -> Explained:
    """Wait until the explanation of a job is as expected."""
    async with asyncio.timeout(40):
        while not is_so(found := await asyncio.to_thread(_explain_local, path, None)):  # noqa: ASYNC110  # no event tells it
            await asyncio.sleep(0.1)  # each look reads the whole history, and takes the stacks
    return found


def _stacks(explained: Explained) -> str:
    return "\n".join((*explained.stacks.values(), explained.program, explained.problem))


@pytest.mark.parametrize("case", PROGRAMS)
async def test_what_a_program_waits_for(tmp_path: Path, case: str) -> None:
    subject, text, stack = EXPECTED[case]
    with program(tmp_path, PROGRAMS[case]) as state:
        found = await explained(
            await history(state),
            lambda explained: (
                any(one.subject == subject and text in one.text for one in explained.reasons)
                and stack in _stacks(explained)
            ),
        )
        assert found.row["state"] == "running"
        assert len(found.reasons) == 1


LAZY = """
import time
from aioparcs import serve
time.sleep(60)
"""


async def test_a_module_that_does_not_serve(tmp_path: Path) -> None:
    module(tmp_path, "lazy", LAZY)
    text = """
async def main(runner):
    async with runner.pool("lazy", 2):
        pass
"""
    with program(tmp_path, text, PARCS_MODULES=str(tmp_path)) as state:
        expected = "2 workers wait: has its main.py called serve(...)?"
        await explained(await history(state), lambda explained: expected in [one.text for one in explained.reasons])


async def command(state: Path, *arguments: str, **env: str) -> Any:
    variables = {"XDG_STATE_HOME": str(state)} | env
    return await asyncio.to_thread(partial(execute, [*COMMAND, "explain", *arguments], None, **variables))


async def test_the_command_names_the_job_its_reason_and_the_stack(tmp_path: Path) -> None:
    with program(tmp_path, PROGRAMS["a slow item"]) as state:
        path = await history(state)
        await explained(path, lambda explained: any("waits for item 2" in one.text for one in explained.reasons))
        name, done = path.stem, await command(state)
        assert done.returncode == 0, done.stderr
        first, reason, thread, frame = done.stdout.splitlines()
        assert first.startswith(f"{name}: job/main.py runs on this machine for ")
        assert "2 of 2 workers connected" in first
        assert reason.startswith("pool slow: waits for item 2: (1) in worker ")
        assert thread == "    thread aioparcs-functions, the most recent call first:"
        assert frame.endswith(" in slow")
        number = reason.partition(" in worker ")[2].split()[0]
        one = await command(state, name[:4], number)
        assert f"worker {number}: runs item 2: (1)" in one.stdout
        assert frame in one.stdout
        known = json.loads((await command(state, name, "--json")).stdout)
        assert (known["job"], known["state"], known["stacks"].keys()) == (name, "running", {number})
        assert known["explain"][0]["worker"] == int(number)
        missing = await command(state, name, "77")
        assert (missing.returncode, missing.stderr) == (2, f"error: job {name} has no worker 77; there are 0 to 1\n")
    assert not is_running(await history(state))
    over = await command(state, name)
    assert over.stdout.startswith(f"{name}: job/main.py was killed, or its machine was, after ")
    none = await command(state)
    assert (none.returncode, none.stderr) == (2, "error: no job runs on this machine\n")


async def test_jobs_are_named_by_what_makes_them_unique(tmp_path: Path) -> None:
    with program(tmp_path, PROGRAMS["messages"]) as state, program(tmp_path, PROGRAMS["messages"]):
        folder = state / "aioparcs" / "jobs"
        await until(lambda: len(histories(folder)) == 2)
        names = sorted(path.stem for path in histories(folder))
        there = ", ".join(names)
        done = await command(state)
        assert (done.returncode, done.stderr) == (2, f"error: several jobs run here; name one of them: {there}\n")
        done = await command(state, "job")
        assert done.stderr == f"error: several jobs have names that begin with 'job': {there}\n"
        code = "import sys; sys.argv[0] = 'aioparcs'; from aioparcs.cli import main; main(prog_name='aioparcs')"
        words = {"COMP_WORDS": "aioparcs explain jo", "COMP_CWORD": "2", "_AIOPARCS_COMPLETE": "bash_complete"}
        line = [sys.executable, "-c", code]
        done = await asyncio.to_thread(execute, line, tmp_path, XDG_STATE_HOME=str(state), **words)
        assert sorted(line.removeprefix("plain,") for line in done.stdout.split()) == names


async def test_a_job_that_is_nowhere(tmp_path: Path) -> None:
    done = await command(tmp_path, "nope")
    assert done.returncode == 2
    assert done.stderr.startswith("error: no job of this machine has a name that begins with 'nope', and the cluster's")
    done = await command(tmp_path, "nope", LEADER_URL="tcp://127.0.0.1:1")
    assert done.returncode == 1


async def test_how_a_job_has_ended(tmp_path: Path) -> None:
    text = """
async def main(runner):
    if os.environ["FAILS"] == "1":
        raise ValueError("no luck")
"""
    for fails, expected in (("0", " has ended after "), ("1", ": ValueError: no luck\n")):
        with suppress(OSError):
            os.rename(tmp_path / "state", tmp_path / "before")
        with program(tmp_path, text, FAILS=fails) as state:
            path = await history(state)
            await until(partial(_is_over, path))
        assert expected in (await command(state, path.stem)).stdout
