"""The control socket of a job: what it does, what it refuses, and that nothing of it is left."""

import asyncio
import json
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from aioparcs import CallCancelled, Runner, Settings, WorkerLost, deadlines
from aioparcs.events import Action, EventBus, Notice, program_events
from aioparcs.monitor.control import ControlError, send_request
from aioparcs.recording.store import socket_of
from aioparcs.runner.control.requests import LONGEST, Request, RequestError, read_request
from tests.support.jobs import ENVIRONMENT, MODULES, module
from tests.support.waiting import until

pytestmark = pytest.mark.one_loop


class Controlled:
    """A job with a control socket, and what was done to it."""

    def __init__(self, folder: Path) -> None:
        self.history = folder / "squares-0a1b2c.jsonl"
        self.path = socket_of(self.history)
        self.events: list[Any] = []
        self.bus = EventBus(self.events.append)
        self.bus.history = self.history
        self.runner: Runner

    async def do(self, do: str, **numbers: int) -> str:
        return await asyncio.to_thread(send_request, self.path, do, "aioparcs ui", **numbers)

    @property
    def actions(self) -> list[str]:
        return [event.text for event in self.events if isinstance(event, Action)]

    @property
    def notices(self) -> list[str]:
        return [event.text for event in self.events if isinstance(event, Notice)]


@asynccontextmanager
async def controlled(folder: Path, modules: Path = MODULES) -> AsyncIterator[Controlled]:
    job = Controlled(folder)
    token = program_events.set(job.bus)
    try:
        job.runner = Runner(modules=[modules], settings=Settings())
    finally:
        program_events.reset(token)
    async with job.runner:
        yield job


async def test_a_worker_of_a_pool_is_killed_and_its_pool_starts_another_one(tmp_path: Path) -> None:
    async with controlled(tmp_path) as job, job.runner.pool("crunch", 1, function="pid") as pool:
        before = await pool.submit()
        assert await job.do("kill", worker=0) == "worker 0 was killed by aioparcs ui; pool crunch starts another one"
        await until_other(pool, before)
        assert job.actions == job.notices == ["worker 0 was killed by aioparcs ui"]
        with pytest.raises(ControlError, match="worker 0 has ended, or there never was one"):
            await job.do("kill", worker=0)


async def until_other(pool: Any, pid: int) -> None:
    """Wait until another process than that of this number answers a pool's calls."""
    answer = None
    while answer in (pid, None):
        with suppress(WorkerLost):
            answer = await pool.submit(function="pid")


async def test_a_worker_in_no_pool_is_killed_and_not_restarted(tmp_path: Path) -> None:
    async with controlled(tmp_path) as job, job.runner.start("crunch") as t:
        await t.call("pid")
        with pytest.raises(ControlError, match="worker 0 is in no pool, and only a pool starts another one"):
            await job.do("restart", worker=0)
        assert "it is in no pool, and no other takes its place" in await job.do("kill", worker=0)
        with pytest.raises(WorkerLost, match="was killed by SIGKILL"):
            await t.recv()


async def test_a_worker_is_restarted_behind_the_call_that_it_runs(tmp_path: Path) -> None:
    path = tmp_path / "path"
    async with controlled(tmp_path) as job, job.runner.pool("crunch", 1) as pool:
        before = await pool.submit(function="pid")
        waiting = pool.submit(str(path), function="wait_for")
        await asyncio.gather(*(job.do("restart", worker=0) for _ in range(2)))
        path.touch()
        await waiting
        await until_other(pool, before)
        await until(lambda: 0 not in job.runner._job.state.workers)
        with pytest.raises(ControlError, match="worker 0 has ended, or there never was one"):
            await job.do("restart", worker=0)
        assert pool.size == 1


async def test_a_pool_is_resized(tmp_path: Path) -> None:
    async with controlled(tmp_path) as job, job.runner.pool("crunch", 1, function="pid") as pool:
        number = pool._control.id
        assert await job.do("resize", pool=number, workers=3) == "aioparcs ui resizes pool crunch: 1 -> 3 workers"
        await until(lambda: pool.size == 3)
        await job.do("resize", pool=number, workers=1)
        await until(lambda: pool.size == 1)
        with pytest.raises(ControlError, match="a pool may be given 1 to 10,000 workers"):
            await job.do("resize", pool=number, workers=0)
        with pytest.raises(ControlError, match=f"there is no open pool {number + 1}"):
            await job.do("resize", pool=number + 1, workers=1)


async def test_a_cancelled_item_fails_with_an_error_that_names_it(tmp_path: Path) -> None:
    path = tmp_path / "path"
    async with controlled(tmp_path) as job, job.runner.pool("crunch", 2, function="wait_for") as pool:
        mapping = asyncio.ensure_future(pool.map([str(path), "/"], return_exceptions=True))
        with pytest.raises(ControlError, match="no worker has item 7: it is done, or has not begun"):
            await job.do("cancel", item=7)
        text = ""
        while not text:
            with suppress(ControlError):  # it may not have been sent yet
                text = await job.do("cancel", item=0)
        what, _, then = text.partition("; ")
        assert what.startswith("item 0: ('")
        assert then == "a plain function goes on in its worker until it returns, or the worker is killed"
        error, result = await mapping
        assert isinstance(error, CallCancelled)
        assert (error.index, error.by) == (0, "aioparcs ui")
        assert not isinstance(result, BaseException)
        path.touch()
        assert await pool.submit("/") == result
        assert job.actions == [what] == [str(error)]


async def test_a_submitted_coroutine_function_is_cancelled_by_its_worker(tmp_path: Path) -> None:
    started, cancelled = tmp_path / "started", tmp_path / "cancelled"
    async with controlled(tmp_path) as job, job.runner.pool("crunch", 1, hedge=3) as pool:
        call = pool.submit(str(started), str(cancelled), function="touch_if_cancelled")
        await until(started.exists)
        await job.do("cancel", worker=0)
        with pytest.raises(CallCancelled, match=r"call of touch_if_cancelled: \(.*\) was cancelled by aioparcs ui"):
            await call
        await until(cancelled.exists)


SLOW = """
import os, time
from aioparcs import serve

def slow(flag):
    open(flag, "w").close()
    while os.path.exists(flag):
        time.sleep(0.01)

serve(slow)
"""


async def test_stacks_of_a_worker_and_of_the_program_are_read(tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    async with controlled(tmp_path, module(tmp_path / "modules", "slow", SLOW)) as job, job.runner.start("slow") as t:
        call = asyncio.ensure_future(t.call("slow", str(flag)))
        await until(flag.exists)
        assert " in slow" in await job.do("stack", worker=0)
        assert f'File "{__file__}", line ' in await job.do("where")
        with pytest.raises(ControlError, match="worker 5: it has ended, or there never was one"):
            await job.do("stack", worker=5)
        flag.unlink()
        await call
    assert not job.actions


async def test_only_its_user_can_connect_and_nothing_is_left(tmp_path: Path) -> None:
    async with controlled(tmp_path) as job:
        assert stat.S_IMODE(job.path.stat().st_mode) == 0o600
        if os.geteuid() == 0:  # it may become another user, who is let in here as far as the peer's credentials
            assert await asyncio.to_thread(_send_as_other, job.path) == b""
        assert json.loads(await asyncio.to_thread(_send, job.path, b'{"do": "where"}\n'))["ok"]
    assert not job.path.exists()
    with pytest.raises(ControlError, match="the job has no control socket: it has ended"):
        await job.do("where")


CLIENT = """
import os, socket, sys
os.chdir(sys.argv[1])
os.setuid(65534)
with socket.socket(socket.AF_UNIX) as sock:
    sock.connect(sys.argv[2])
    try:
        sock.sendall(b'{"do": "where"}\\n')
        print(sock.recv(100).decode(), end="")
    except OSError:
        print("closed", file=sys.stderr)
"""


def _send_as_other(path: Path) -> bytes:
    path.parent.chmod(0o755)
    path.chmod(0o666)
    done = subprocess.run([sys.executable, "-c", CLIENT, path.parent, path.name], capture_output=True)
    assert not done.returncode, done.stderr
    return done.stdout


def _send(path: Path, data: bytes) -> bytes:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(10)
        sock.connect(str(path))
        sock.sendall(data)
        return b"".join(iter(lambda: sock.recv(4096), b""))


@pytest.mark.slow
@pytest.mark.parametrize(
    "data, reason",
    [
        (b"\n", "a request is one line of JSON"),
        (b"[1]\n", "a request is an object of JSON"),
        (b'{"do": "dance"}\n', "there is no action 'dance': stack, where, kill"),
        (b'{"do": "kill"}\n', "kill needs worker"),
        (b'{"do": "kill", "worker": "3"}\n', "worker must be a whole number from 0 on"),
        (b'{"do": "kill", "worker": -1}\n', "worker must be a whole number from 0 on"),
        (b'{"do": "resize", "pool": 1}\n', "resize needs workers"),
        (b'{"do": "cancel", "pool": 1}\n', "cancel needs item or worker"),
        (b"x" * 3 * LONGEST, f"a request has at most {LONGEST} bytes"),
        (b'{"do": "where"', "no request came for"),
    ],
    ids=range(10),
)
async def test_other_requests_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: bytes, reason: str
) -> None:
    monkeypatch.setattr(deadlines, "CONTROL_REQUEST", 0.5)
    async with controlled(tmp_path) as job:
        answer = json.loads(await asyncio.to_thread(_send, job.path, data))
        assert reason in answer["error"]
        assert await job.do("where")


def test_the_name_of_a_client_is_made_safe() -> None:
    request = {"do": "kill", "worker": 1, "by": "\x1b[31m" + "x" * 100}
    assert read_request(json.dumps(request).encode()) == Request("kill", "[31m" + "x" * 36, worker=1)
    with pytest.raises(RequestError):
        read_request(b"\xff")


async def test_a_path_of_any_length_is_used(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    async with controlled(folder) as job:
        assert len(str(job.path)) > 108
        assert await job.do("where")


async def test_clients_that_send_nothing_are_few_and_end_with_the_job(tmp_path: Path) -> None:
    async with controlled(tmp_path) as job:
        with ExitStack() as clients:
            for _ in range(16):
                client = clients.enter_context(socket.socket(socket.AF_UNIX))
                client.connect(str(job.path))
            with pytest.raises(ControlError, match=r"too many requests at once|can't be used"):
                await job.do("where")
        await until_answer(job)


async def until_answer(job: Controlled) -> None:
    while True:
        with suppress(ControlError):
            await job.do("where")
            return


async def test_a_second_runner_of_a_program_leaves_the_socket_of_the_first(tmp_path: Path) -> None:
    async with controlled(tmp_path) as first:
        async with controlled(tmp_path):
            pass
        assert await first.do("where")


MAIN = """
import asyncio, sys, time
from pathlib import Path
from aioparcs import run
from aioparcs.events import program_events, EventBus

events = EventBus()
events.history = Path(sys.argv[1])
program_events.set(events)

async def main(runner):
    Path(sys.argv[1]).touch()
    try:
        {body}
    finally:
        print("cleaned up")

run(main)
"""


@pytest.mark.slow
async def test_a_job_is_stopped_as_by_sigterm(tmp_path: Path) -> None:
    done = await asyncio.to_thread(run, tmp_path, "await asyncio.sleep(60)", stop)
    assert done == (128 + signal.SIGTERM, "cleaned up\n", "stopping\nstopped by SIGTERM\n")


async def test_a_runner_that_was_opened_over_several_tasks_refuses_to_be_stopped(tmp_path: Path) -> None:
    job = Controlled(tmp_path)
    token = program_events.set(job.bus)
    try:
        job.runner = await asyncio.create_task(Runner.open(modules=[MODULES], settings=Settings()))
    finally:
        program_events.reset(token)
    with pytest.raises(ControlError, match=r"has opened this runner with Runner.open\(\), and has to close it itself"):
        await job.do("stop")
    assert job.actions == []
    await job.runner.close()


def stop(path: Path) -> None:
    assert send_request(path, "stop", "aioparcs ui") == "aioparcs ui stops the job"


@pytest.mark.slow
async def test_a_runner_whose_loop_is_busy_says_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadlines, "CONTROL_REQUEST", 0.3)
    monkeypatch.setattr(deadlines, "CONTROL_ANSWER", 10)

    def ask(path: Path) -> None:
        text = send_request(path, "where")
        assert text.startswith("thread MainThread, the most recent call first:\n")
        assert text.endswith(" in main")

    assert await asyncio.to_thread(run, tmp_path, "time.sleep(6)", ask) == (0, "cleaned up\n", "")


@pytest.mark.slow
async def test_a_runner_that_can_not_answer_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadlines, "CONTROL_REQUEST", 0.3)
    monkeypatch.setattr(deadlines, "CONTROL_ANSWER", 0.6)

    def ask(path: Path) -> None:
        for do in ("where", "stop"):
            with pytest.raises(ControlError, match=r"has not answered for 0\.6 s: its own code keeps its event loop"):
                send_request(path, do)

    # A sum of a range is C code that looks for no signals. When it is done, the client of the stop has gone.
    body = "sum(range(3 * 10**8)); await asyncio.sleep(0.5)"
    assert await asyncio.to_thread(run, tmp_path, body, ask) == (0, "cleaned up\n", "")


def run(folder: Path, body: str, ask: Callable[[Path], object]) -> tuple[int, str, str]:
    """Run a program, and ask it something once it runs; return how it ended, and its output."""
    (folder / "main.py").write_text(MAIN.format(body=body))
    history = folder / "busy-0a1b2c.jsonl"
    command = [sys.executable, str(folder / "main.py"), str(history)]
    with subprocess.Popen(command, env=ENVIRONMENT, stdout=-1, stderr=-1, text=True) as process:
        asyncio.run(until(history.exists))
        ask(socket_of(history))
        output, errors = process.communicate()
    assert not socket_of(history).exists()
    return process.returncode, output, errors
