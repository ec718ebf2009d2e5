"""The launcher under signals, as process 1 too: it ends at once, with all that its workers have started."""

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from aioparcs import StartError, WorkerLost
from tests.support.engines import command_runner
from tests.support.jobs import EventRecorder, family, gone, job, module
from tests.support.waiting import PATIENCE, until

pytestmark = pytest.mark.one_loop

FIRST = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")  # the command becomes process 1
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="process 1 of a namespace needs root")
PREFIXES = [pytest.param((), id="plain"), pytest.param(FIRST, id="process 1", marks=needs_root)]

TIDY = """
import asyncio, signal
from aioparcs import Service, serve
signal.signal(signal.SIGTERM, lambda *_: None)  # the launcher and its workers have handlers of their own
class Tidy(Service):
    async def run(self):
        await self.send("up")
        try:
            await asyncio.sleep(60)
        finally:
            print("tidied up", self.rank)
serve(Tidy)
"""


@pytest.mark.slow
@pytest.mark.parametrize("prefix", PREFIXES)
async def test_sigterm_ends_a_launcher_cleanly(tmp_path: Path, prefix: tuple[str, ...]) -> None:
    recorder = EventRecorder()
    async with command_runner(*prefix, modules=module(tmp_path, "tidy", TIDY), recorder=recorder) as (runner, engine):
        tasks = await runner.start_many("tidy", 3)
        assert [await t.recv() for t in tasks] == ["up"] * 3
        engine.launcher().terminate()
        async with asyncio.timeout(PATIENCE):
            assert await engine.processes[0].exited == 143
        for t in tasks:
            with pytest.raises(WorkerLost, match=f"ended with exit code 143.*\n    tidied up {t.rank}"):
                await t.recv()
    assert sorted(line for t in tasks for line in recorder.lines[t.worker]) == [f"tidied up {i}" for i in range(3)]


@pytest.mark.slow
@pytest.mark.parametrize("prefix", PREFIXES)
async def test_sigterm_ends_a_launcher_whose_worker_computes(prefix: tuple[str, ...]) -> None:
    async with command_runner(*prefix) as (runner, engine):
        t = await runner.start("talker")
        await t.send(["compute", 60])
        assert await t.recv() == "computing"
        engine.launcher().terminate()
        async with asyncio.timeout(PATIENCE):
            assert await engine.processes[0].exited == 143
        with pytest.raises(WorkerLost, match="was killed by SIGKILL"):
            await t.recv()


@pytest.mark.slow
async def test_sigterm_ends_a_launcher_without_workers() -> None:
    async with command_runner() as (runner, engine):
        async with runner.start("probe"):
            pass
        engine.launcher().terminate()
        async with asyncio.timeout(PATIENCE):
            assert await engine.processes[0].exited == 143


@pytest.mark.slow
async def test_sigterm_ends_a_worker_that_is_about_to_connect() -> None:
    recorder = EventRecorder()
    async with job(recorder=recorder) as runner:
        async with runner.start("probe") as t:
            _, launcher, _ = await t.call("who")
        starting = asyncio.ensure_future(runner.start("probe"))
        while not (found := [*filter(_handles_sigterm, psutil.Process(launcher).children())]):  # noqa: ASYNC110
            await asyncio.sleep(0)  # one turn: to be connected it needs several
        # From here on this loop stands still, and answers no signal.
        (worker,) = found
        worker.terminate()
        _wait_for(lambda: not worker.is_running())
        with pytest.raises(StartError, match=r"it ended with exit code 143 \(SIGTERM: .*\) before it was connected$"):
            await starting
    assert recorder.lines == {}


def _wait_for(condition: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.002)
    raise TimeoutError


def _handles(number: int, process: psutil.Process) -> bool:
    caught = re.search(r"SigCgt:\s*([0-9a-f]+)", Path(f"/proc/{process.pid}/status").read_text())
    assert caught
    return bool(int(caught[1], 16) & 1 << number - 1)


def _handles_sigterm(process: psutil.Process) -> bool:
    """Return whether a process is a worker in its loop: its launcher's agent ignores the signal."""
    try:
        files = [os.readlink(file) for file in Path(f"/proc/{process.pid}/fd").iterdir()]
        return _handles(signal.SIGTERM, process) and "anon_inode:[eventpoll]" in files
    except FileNotFoundError:
        return False


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["echo", "compute"])
async def test_sigint_ends_a_worker_as_any_signal_does(verb: str) -> None:
    recorder = EventRecorder()
    async with job(recorder=recorder) as runner, runner.start_many("talker", 2) as (t, other):
        await t.send(["who"])
        *_, pid, _ = await t.recv()
        await t.send([verb, 60])
        await t.recv()
        losing = asyncio.ensure_future(t.recv())
        os.kill(pid, signal.SIGINT)
        if verb == "compute":  # the first one waits for the loop
            await until(lambda: not _handles(signal.SIGINT, psutil.Process(pid)))
            os.kill(pid, signal.SIGINT)
        with pytest.raises(WorkerLost, match=r"^worker talker:0 was killed by SIGINT$"):
            await losing
        await other.send(["echo", 1])
        assert await other.recv() == 1
    assert recorder.lines == {}


@pytest.mark.slow
@pytest.mark.parametrize("prefix", PREFIXES)
async def test_orphans_are_reaped(prefix: tuple[str, ...]) -> None:
    async with command_runner(*prefix) as (runner, engine):
        async with runner.start("probe") as t:
            await t.call("run_orphan", 0.01)
            await t.call("run_orphan", 60)
            launcher = engine.launcher()
            # The agent, the worker and the orphan that still runs: the other one is no zombie.
            await until(lambda: len(launcher.children()) == 3)
            left = family()
    await gone(left)


@pytest.mark.slow
@pytest.mark.parametrize("session", [False, True])
async def test_processes_of_a_worker_end_with_its_launcher_at_the_latest(session: bool) -> None:
    async with job() as runner:
        t = await runner.start("probe")
        beside = psutil.Process(await t.call("run_beside", ["sleep", "60"], session))
        await t.shutdown()
        if not session:  # in the worker's own group: it ends with the worker
            await gone([beside])
    await gone([beside])


@pytest.mark.slow
async def test_processes_of_a_worker_end_with_a_killed_launcher() -> None:
    async with job() as runner:
        t = await runner.start("probe")
        _, launcher, _ = await t.call("who")
        beside = psutil.Process(await t.call("run_beside", ["sleep", "60"], False))
        psutil.Process(launcher).kill()
        await gone([beside])


@pytest.mark.slow
async def test_helpers_of_the_module_itself_end_with_the_launcher(tmp_path: Path) -> None:
    text = """
import subprocess
import sys
helper = subprocess.Popen(["sleep", "60"])
from aioparcs import serve
def pid():
    return helper.pid
serve(pid)
"""
    async with job(module(tmp_path, "helped", text)) as runner:
        async with runner.start("helped") as t:
            helper = psutil.Process(await t.call("pid"))
        assert helper.is_running()  # it is the module's, not the worker's
    await gone([helper])


ODD = """
import io, os, signal, sys, time
from aioparcs import Service, serve
class Odd(Service):
    async def run(self):
        await getattr(self, await self.recv())()
    async def close_output(self):
        print("before")
        sys.stdout.close()
        os.close(2)
    async def replace_output(self):
        sys.stdout = io.StringIO()
        print("unheard")
    async def no_output(self):
        sys.stdout = sys.stderr = None
    async def half_a_line(self):
        print("no end", end="")
        sys.exit()
    async def own_handler(self):
        def handler(*_):
            print("the service's own handler", flush=True)
            os._exit(5)
        signal.signal(signal.SIGTERM, handler)
        os.kill(os.getppid(), signal.SIGTERM)
        time.sleep(60)
    async def exit_at_once(self):
        print("lost in no buffer")
        os._exit(7)
serve(Odd)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "what, lines",
    [
        ("close_output", ["before"]),
        ("replace_output", None),
        ("no_output", None),
        ("half_a_line", ["no end"]),
    ],
)
async def test_unusual_clean_ends_are_no_failures(tmp_path: Path, what: str, lines: list[str] | None) -> None:
    recorder = EventRecorder()
    async with job(module(tmp_path, "odd", ODD), recorder=recorder) as runner, runner.start("odd") as t:
        await t.send(what)
        await until(lambda: t.state == "gone")
    assert recorder.events[-1] == ("ended", "odd", 0, None)
    assert recorder.lines.get(0) == lines


@pytest.mark.slow
@pytest.mark.parametrize(
    "what, code, line",
    [("own_handler", 5, "the service's own handler"), ("exit_at_once", 7, "lost in no buffer")],
)
async def test_worker_lost_names_the_exit_code_and_the_last_lines(
    tmp_path: Path, what: str, code: int, line: str
) -> None:
    async with job(module(tmp_path, "odd", ODD)) as runner:
        t = await runner.start("odd")
        await t.send(what)
        with pytest.raises(WorkerLost) as lost:
            await t.recv()
        assert (lost.value.exitcode, lost.value.last_lines) == (code, (line,))


@pytest.mark.slow
def test_a_launcher_alone_ends_on_a_wrong_address(tmp_path: Path) -> None:
    main = module(tmp_path, "alone", "from aioparcs import serve\nserve(print)\n") / "alone" / "main.py"
    token = tmp_path / "token"
    token.write_text("0" * 64)
    variables = {
        "PARCS_RUNNER": "tcp://127.0.0.1:1",
        "PARCS_JOB": "none",
        "PARCS_TOKEN_FILE": str(token),
        "PARCS_CONNECT_TIMEOUT": "0.1",
    }
    done = subprocess.run([sys.executable, str(main)], env=os.environ | variables, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == "error: can't connect to tcp://127.0.0.1:1 within 0.1 s: Connection refused\n"
