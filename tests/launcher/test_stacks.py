"""The stacks of workers that go on: of what runs in Python, in C, or not at all, and what can't be read."""

import asyncio
from pathlib import Path

import psutil
import pytest

from aioparcs import Runner
from aioparcs.launcher.process.stacks import describe_tasks
from aioparcs.settings import FIRST_CONTROL
from tests.support.jobs import EventRecorder, family, gone, job, module
from tests.support.waiting import until

pytestmark = [pytest.mark.slow]

PLAIN = """
import os, sys, time
from aioparcs import serve

def pid():
    return os.getpid()

def outer(flag):
    return inner(flag)

def inner(flag):
    open(flag, "w").close()
    while os.path.exists(flag):
        time.sleep(0.01)
    return "gone on"

serve(pid, outer{options})
"""


async def read(runner: Runner, worker: int = 0) -> str:
    return await runner._job.registry.stacks.read(worker)


async def in_call(flag: Path) -> None:
    await until(flag.exists)


@pytest.mark.parametrize("options", ["", ", fork=False"], ids=["forked", "fresh"])
async def test_a_plain_function_goes_on_after_its_stack_was_read(tmp_path: Path, options: str) -> None:
    flag = tmp_path / "flag"
    async with job(module(tmp_path, "plain", PLAIN.format(options=options))) as runner, runner.start("plain") as t:
        call = asyncio.ensure_future(t.call("outer", str(flag)))
        await in_call(flag)
        for _ in range(3):
            text = await read(runner)
            first, *frames = text.splitlines()
            assert first == "thread aioparcs-functions, the most recent call first:"
            assert [frame.rpartition(" in ")[2] for frame in frames] == ["inner", "outer"]
            assert frames[1].startswith(f'  File "{tmp_path}/plain/main.py", line ')
        flag.unlink()
        assert await call == "gone on"


async def test_a_worker_without_a_call_runs_nothing(tmp_path: Path) -> None:
    async with job(module(tmp_path, "plain", PLAIN.format(options=""))) as runner, runner.start("plain") as t:
        await t.call("pid")
        assert await read(runner) == "it runs nothing of its program: it waits for calls or messages"


COROUTINES = """
import asyncio
from aioparcs import serve

async def outer(n):
    return await inner(n)

async def inner(n):
    await asyncio.sleep(60 if n else 0)
    return n

serve(outer)
"""


async def test_the_tasks_of_coroutine_functions_are_there(tmp_path: Path) -> None:
    async with job(module(tmp_path, "coroutines", COROUTINES)) as runner, runner.start("coroutines") as t:
        calls = [asyncio.ensure_future(t.call("outer", n)) for n in (1, 2)]
        await asyncio.sleep(0)  # they are sent first, and begin before the next one ends
        await t.call("outer", 0)
        text = await read(runner)
        assert text.count(" in inner\n") == 2
        assert text.count(" in outer") == 2
        assert text.count("task ") == 2
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)


SERVICE = """
from aioparcs import Service, serve

class Waiter(Service):
    async def run(self):
        await self.send("ready")
        await self.recv()

serve(Waiter)
"""


async def test_a_service_shows_where_it_waits_for_a_message(tmp_path: Path) -> None:
    async with job(module(tmp_path, "waiter", SERVICE)) as runner, runner.start("waiter") as t:
        assert await t.recv() == "ready"
        while " in run" not in (text := await read(runner)):  # it may not have come to that yet
            pass
        assert f'File "{tmp_path}/waiter/main.py", line ' in text
        await t.send(None)


HOLDER = """
import ctypes, os
from aioparcs import serve

def hold(path, seconds):
    with open(path, "w"):
        ctypes.PyDLL(None).sleep(seconds)  # a call through PyDLL keeps the GIL
    return "gone on"

serve(hold)
"""


async def test_c_code_that_holds_the_gil_is_seen_from_c(tmp_path: Path) -> None:
    flags = tmp_path / "0", tmp_path / "1"
    async with job(module(tmp_path, "holder", HOLDER)) as runner, runner.start_many("holder", 2) as tasks:
        calls = [asyncio.ensure_future(t.call("hold", str(flag), 6)) for t, flag in zip(tasks, flags, strict=True)]
        await asyncio.gather(*map(in_call, flags))
        texts = await asyncio.gather(*(read(runner, t.worker) for t in tasks))
        for text in texts:
            assert text.startswith("Python has not run in its main thread for 1 s: C code keeps the GIL")
            assert text.endswith(" in hold")
        assert await asyncio.gather(*calls) == ["gone on"] * 2


async def test_a_stopped_worker_is_named_and_goes_on(tmp_path: Path) -> None:
    async with job(module(tmp_path, "plain", PLAIN.format(options=""))) as runner, runner.start("plain") as t:
        worker = psutil.Process(await t.call("pid"))
        worker.suspend()
        try:
            await until(lambda: worker.status() == psutil.STATUS_STOPPED)
            with pytest.raises(LookupError, match="worker 0: it is stopped by a signal"):
                await read(runner)
        finally:
            worker.resume()
        assert await t.call("pid") == worker.pid


@pytest.mark.one_loop
async def test_a_stopped_launcher_is_given_up_at_a_deadline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aioparcs.deadlines.STACK_REPORT", 0.3)
    async with job(module(tmp_path, "plain", PLAIN.format(options=""))) as runner, runner.start("plain") as t:
        await t.call("pid")
        processes = family()
        for process in processes:
            process.suspend()
        with pytest.raises(LookupError, match=r"worker 0: its launcher has not answered for 0.3 s"):
            await read(runner)
        for process in processes:
            process.resume()
        await t.call("pid")


REPLACED = """
import signal
from aioparcs import serve
from aioparcs.launcher.process.stack_dumps import ANSWER

def replace():
    signal.signal(ANSWER, signal.SIG_DFL)

def blocked():
    signal.pthread_sigmask(signal.SIG_BLOCK, [ANSWER])

async def alive(call):
    if call:
        globals()[call]()
    return True

serve(alive)
"""


async def test_a_worker_without_its_handler_is_not_signalled(tmp_path: Path) -> None:
    async with job(module(tmp_path, "replaced", REPLACED)) as runner, runner.start("replaced") as t:
        await t.call("alive", "replace")
        with pytest.raises(LookupError, match="or its program has replaced the handler of signal 41"):
            await read(runner)
        assert await t.call("alive", "")


@pytest.mark.one_loop
async def test_workers_that_are_not_there_are_named(tmp_path: Path) -> None:
    recorder = EventRecorder()
    async with job(module(tmp_path, "plain", PLAIN.format(options="")), recorder=recorder) as runner:
        with pytest.raises(LookupError, match="worker 0: it has ended, or there never was one of this number"):
            await read(runner)
        async with runner.start("plain") as t:
            pid = await t.call("pid")
        await gone([psutil.Process(pid)] if psutil.pid_exists(pid) else [])
        with pytest.raises(LookupError, match="worker 0: it has ended"):
            await read(runner)


@pytest.mark.one_loop
async def test_a_launcher_of_an_older_version_gets_no_request(tmp_path: Path) -> None:
    async with job(module(tmp_path, "plain", PLAIN.format(options=""))) as runner, runner.start("plain") as t:
        await t.call("pid")
        (client,) = runner._job.registry.launchers.values()
        client.control = FIRST_CONTROL
        with pytest.raises(LookupError, match="its launcher is an older aioparcs, or another program"):
            await read(runner)


async def test_a_worker_that_ends_meanwhile_ends_the_wait(tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    async with job(module(tmp_path, "holder", HOLDER)) as runner, runner.start("holder") as t:
        call = asyncio.ensure_future(t.call("hold", str(flag), 30))
        await in_call(flag)
        reading = asyncio.ensure_future(read(runner))
        await asyncio.sleep(0)
        await t.kill()
        with pytest.raises(LookupError, match="worker 0: it has ended"):
            await reading
        await asyncio.gather(call, return_exceptions=True)


BLOCKED = """
import os, time
from aioparcs import Service, serve

class Blocked(Service):
    async def run(self):
        path = await self.recv()
        os.rename(path, path + ".found")
        while os.path.exists(path + ".found"):
            time.sleep(0.01)
        await self.send("gone on")

serve(Blocked)
"""


async def test_a_service_that_blocks_its_event_loop_is_seen_where_it_does(tmp_path: Path) -> None:
    flag, found = tmp_path / "flag", tmp_path / "flag.found"
    flag.touch()
    async with job(module(tmp_path, "blocked", BLOCKED)) as runner, runner.start("blocked") as t:
        await t.send(str(flag))
        await until(found.exists)  # until then it waits for the message
        while " in run" not in (text := await read(runner)):
            assert "waits" not in text, text
        assert f'File "{tmp_path}/blocked/main.py", line ' in text
        found.unlink()
        assert await t.recv() == "gone on"


async def test_of_many_tasks_only_some_are_looked_at() -> None:
    async def wait(seen: list[int]) -> None:
        seen.append(1)
        await asyncio.Event().wait()

    seen: list[int] = []
    tasks = [asyncio.create_task(wait(seen)) for _ in range(2000)]
    await until(lambda: len(seen) == 2000)
    *_, last = describe_tasks(asyncio.get_running_loop()).split("\n\n")
    assert last == f"and {len(asyncio.all_tasks()) - 1 - 50} more tasks"
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
