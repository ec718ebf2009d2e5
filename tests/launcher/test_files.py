"""Files that a runner sends to launchers which run elsewhere: real launchers, each with a folder of its own."""

import asyncio
import hashlib
import os
import re
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from aioparcs import Runner, StartError
from tests.support.engines import CommandEngine, command_runner
from tests.support.jobs import module
from tests.support.waiting import until

pytestmark = pytest.mark.slow

READER = """
import hashlib
import os
from aioparcs import serve

def digest(name):
    with open(name, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

def listed(_):
    return sorted(os.path.join(folder, name) for folder, _, names in os.walk(".") for name in names)

def end(_):
    os.kill(os.getppid(), 9)

serve(digest, listed, end)
"""
LARGE = 300 << 20  # sending it takes long enough for something to happen meanwhile
# Runs a launcher in its folder, with a file system of its own there.
MOUNT = ("unshare", "--mount", "sh", "-c", 'mount -t tmpfs -o "$0" none . && cd "$PWD" && exec "$@"')
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """Create the runner's folder, with a file that takes several pieces."""
    module(tmp_path, "reader", READER)
    (tmp_path / "here" / "data" / "deep").mkdir(parents=True)
    (tmp_path / "here" / "data" / "empty").mkdir()
    (tmp_path / "here" / "data" / "deep" / "big").write_bytes(os.urandom(3_000_001))
    (tmp_path / "here" / "one.txt").write_text("1")
    return tmp_path / "here"


@asynccontextmanager
async def sending(here: Path, *command: str, **settings: Any) -> AsyncIterator[tuple[Runner, CommandEngine]]:
    """Enter a runner of that folder, whose launchers have folders of their own."""
    there = here.parent / "there"
    async with command_runner(*command, modules=here.parent, folder=there, **settings) as (runner, engine):
        runner._job.supervisor._files._folder = here
        yield runner, engine


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


async def test_all_workers_of_a_launcher_find_them_and_a_replaced_launcher_too(here: Path) -> None:
    there = here.parent / "there"
    async with sending(here) as (runner, engine):
        async with runner.pool("reader", 3, files=["data", Path("./one.txt")], retries=1) as pool:
            assert set(await pool.map(["data/deep/big"] * 9)) == {digest(here / "data/deep/big")}
            assert await pool.map([0], function="listed") == [["./data/deep/big", "./one.txt"]]
            assert (there / "0/data/empty").is_dir()
            slots = len(engine.processes)
            engine.processes[0].kill()
            await engine.processes[0].exited  # and so are its workers, which could answer otherwise
            assert set(await pool.map(["data/deep/big"] * 9)) == {digest(here / "data/deep/big")}
            await until(lambda: pool.size == 3 and len(engine.processes) > slots)
            for slot in range(slots, len(engine.processes)):
                assert digest(there / f"{slot}/data/deep/big") == digest(here / "data/deep/big")
    assert not list(there.rglob(".aioparcs*"))


async def test_many_launchers_at_once_each_get_them(here: Path) -> None:
    async with sending(here) as (runner, engine):
        tasks = await asyncio.gather(*(runner.start("reader", files=["data"]) for _ in range(9)))
        found = await asyncio.gather(*(task.call("digest", "data/deep/big") for task in tasks))
        assert set(found) == {digest(here / "data/deep/big")}
        assert len(engine.processes) == 9


async def test_what_is_missing_is_an_error_before_anything_starts(here: Path) -> None:
    async with sending(here) as (runner, engine):
        with pytest.raises(StartError, match=rf"files=: there is no {here}/nothing"):
            await runner.start("reader", files=["data", "nothing"])
        assert engine.processes == []


@pytest.mark.parametrize(
    "prepare, reason",
    [
        (
            lambda there: (there / "one.txt").write_text("2"),
            "{there}/one.txt is another file than the one that was sent",
        ),
        (lambda there: (there / "data").touch(), "{there}/data is a file, and a folder of that name was sent"),
        (lambda there: (there / "one.txt").mkdir(), "{there}/one.txt is a folder, and a file of that name was sent"),
    ],
    ids=["another", "a file", "a folder"],
)
async def test_nothing_of_the_launchers_own_is_replaced(
    here: Path, prepare: Callable[[Path], object], reason: str
) -> None:
    there = here.parent / "there" / "0"
    there.mkdir(parents=True)
    prepare(there)
    before = sorted(map(str, there.rglob("*")))
    async with sending(here) as (runner, _):
        with pytest.raises(StartError, match="did not get its files: " + re.escape(reason.format(there=there))):
            await runner.start("reader", files=["data", "one.txt"])
    assert sorted(map(str, there.rglob("*"))) == before


async def test_the_same_file_may_be_there_already(here: Path) -> None:
    there = here.parent / "there" / "0"
    there.mkdir(parents=True)
    (there / "one.txt").write_text("1")
    async with sending(here) as (runner, _), runner.start("reader", files=["data", "one.txt"]) as task:
        assert await task.call("digest", "data/deep/big") == digest(here / "data/deep/big")


@needs_root
@pytest.mark.parametrize(
    "options, reason",
    [
        ("size=1m", "{there}/data/deep/big: No space left on device; make room on that node's disk"),
        ("ro", "{there}: Read-only file system; it must be a folder that the workers may write to"),
    ],
    ids=["full", "read-only"],
)
async def test_a_folder_that_can_not_be_written_to_is_one_clear_error(here: Path, options: str, reason: str) -> None:
    async with sending(here, *MOUNT, options) as (runner, _):
        with pytest.raises(StartError) as raised:
            await runner.start("reader", files=["data"])
    assert raised.value.reason == f"it did not get its files: {reason.format(there=here.parent / 'there/0')}"


async def begun(runner: Runner) -> None:
    """Wait until files are being sent."""
    await until(lambda: any(client._taken.pieces for client in runner._job.registry.launchers.values()))


async def test_a_file_that_changes_while_it_is_sent_is_an_error(here: Path) -> None:
    os.truncate(here / "one.txt", LARGE)
    async with sending(here) as (runner, _):
        starting = asyncio.ensure_future(runner.start("reader", files=["one.txt"])._start())
        await begun(runner)
        os.truncate(here / "one.txt", LARGE + 1)
        with pytest.raises(StartError, match=rf"did not get its files: {here}/one.txt changed while it was read"):
            await starting
    assert not (here.parent / "there/0/one.txt").exists()


async def test_a_launcher_that_is_lost_meanwhile_is_an_error_and_others_go_on(here: Path) -> None:
    os.truncate(here / "one.txt", LARGE)
    async with sending(here) as (runner, engine):
        starting = asyncio.ensure_future(runner.start("reader", files=["one.txt"])._start())
        await begun(runner)
        engine.processes[0].kill()
        with pytest.raises(StartError, match="its launcher was killed by SIGKILL"):
            await starting
        async with runner.start("reader", files=["data"]) as task:
            assert await task.call("listed", 0) == ["./data/deep/big"]


async def test_a_launcher_that_takes_nothing_is_given_up(here: Path) -> None:
    os.truncate(here / "one.txt", LARGE)
    async with sending(here) as (runner, engine):
        runner._job.supervisor._files._patience = 1.0
        starting = asyncio.ensure_future(runner.start("reader", files=["one.txt"])._start())
        await begun(runner)
        (agent,) = engine.launcher().children()
        agent.send_signal(signal.SIGSTOP)
        with pytest.raises(StartError, match=r"its launcher took no piece of them for 1 s \(PARCS_START_TIMEOUT\)"):
            await starting
        agent.send_signal(signal.SIGCONT)


async def test_the_end_of_the_job_waits_for_no_files(here: Path) -> None:
    os.truncate(here / "one.txt", 40 * LARGE)
    async with asyncio.timeout(60), sending(here) as (runner, _):
        starting = asyncio.ensure_future(runner.start("reader", files=["one.txt"])._start())
        await begun(runner)
        starting.cancel()
        await asyncio.wait([starting])
    assert not list((here.parent / "there").rglob(".aioparcs*"))


@pytest.mark.untraced
@pytest.mark.one_loop
async def test_memory_is_bounded_however_large_a_file_is(here: Path) -> None:
    os.truncate(here / "one.txt", LARGE)
    own = psutil.Process()
    async with sending(here) as (runner, engine):
        before = own.memory_info().rss
        starting = asyncio.ensure_future(runner.start("reader", files=["one.txt"])._start())
        await begun(runner)
        (agent,) = engine.launcher().children()
        first = agent.memory_info().rss
        most = [0, 0]
        while not starting.done():
            most = [max(most[0], own.memory_info().rss - before), max(most[1], agent.memory_info().rss - first)]
            await asyncio.sleep(0.01)
        task = await starting
        assert await task.call("digest", "one.txt") == digest(here / "one.txt")
        await task.shutdown()
    assert max(most) < 40 << 20, most
