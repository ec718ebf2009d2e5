"""The end of workers and runners: graceful, forced and accidental. Nothing is left of either."""

import asyncio
from contextlib import suppress
from pathlib import Path

import pytest

from aioparcs import ChannelClosed, EndOfChannel, ParcsError, StartError, Task, WorkerLost, deadlines
from tests.support.jobs import EventRecorder, children, family, gone, job, live, module
from tests.support.waiting import PATIENCE, until

LONG = 60.0  # seconds: a close_timeout that nothing waits for


def loop_time() -> float:
    return asyncio.get_running_loop().time()


# One worker


async def test_shutdown_waits_for_the_worker_to_finish() -> None:
    recorder = EventRecorder()
    async with job(recorder=recorder) as runner:
        t = await runner.start("talker", env={"LINGER": "0.3"})
        await t.send(["print_lines", "done"])
        await t.shutdown()
        assert recorder.events[-1] == ("ended", "talker", 0, None)
        assert t.state == "gone"


@pytest.mark.slow
async def test_shutdown_kills_after_close_timeout() -> None:
    async with job(close_timeout=0.3) as runner:
        t = await runner.start("talker")
        await t.send(["compute", 60])
        await t.recv()
        begun = loop_time()
        await t.shutdown()
        assert 0.3 <= loop_time() - begun < PATIENCE
        assert t.state == "gone"
        with pytest.raises((ChannelClosed, WorkerLost)):
            await t.recv()


async def test_shutdown_that_is_cancelled_kills_at_once() -> None:
    async with job(close_timeout=LONG) as runner:
        t = await runner.start("talker")
        await t.send(["stubborn"])
        await t.recv()
        ending = asyncio.ensure_future(t.shutdown())
        await asyncio.wait([ending], timeout=0.05)
        ending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await ending
        await until(lambda: t.state == "gone")


async def test_a_block_left_normally_discards_unreceived_messages() -> None:
    recorder = EventRecorder()
    async with job(recorder=recorder) as runner, runner.start("talker") as t:
        await t.send(["echo", *["x" * 100_000] * 100])
    assert recorder.events[-1] == ("ended", "talker", 0, None)


async def test_a_block_left_on_an_error_kills_at_once() -> None:
    async with job(close_timeout=LONG) as runner:
        begun = 0.0
        with suppress(KeyError):
            async with runner.start("talker") as t:
                await t.send_all(["who"], ["stubborn"])
                *_, pid, _ = await t.recv()
                await t.recv()
                begun = loop_time()
                raise KeyError
        assert loop_time() - begun < PATIENCE
        assert t.state == "gone"
        assert pid not in [process.pid for process in family()]


@pytest.mark.slow
async def test_a_note_says_what_leaving_a_block_waits_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aioparcs.task.ending._NOTE_DELAY", 0.05)
    waiting = (
        "waiting for {} to finish, for 0.3 s at most (PARCS_CLOSE_TIMEOUT); kill() of a task ends its worker at once"
    )
    recorder = EventRecorder()

    async def occupy(*tasks: Task) -> None:
        for t in tasks:
            await t.send(["stubborn"])
            await t.recv()

    async with job(recorder=recorder, close_timeout=0.3) as runner:
        async with runner.start_many("talker", 3) as tasks:
            await occupy(*tasks[:2])
            await tasks[2].shutdown()
        async with runner.start("talker") as t:
            await occupy(t)
        async with runner.start_many("talker", 2) as tasks:  # those that are killed are not waited for
            await occupy(*tasks)
            await asyncio.gather(*(t.kill() for t in tasks))
        await occupy(await runner.start("talker"))
    assert recorder.notes == [waiting.format(name) for name in ("2 workers", "talker:3", "talker:6")]


async def test_kill_is_immediate_whatever_the_worker_does() -> None:
    async with job(close_timeout=LONG) as runner:
        t = await runner.start("talker")
        await t.send(["stubborn"])
        await t.recv()
        begun = loop_time()
        await t.kill()
        assert loop_time() - begun < PATIENCE
        assert t.state == "gone"
        await t.kill()
        await t.shutdown()


async def test_processes_of_a_worker_end_with_it(tmp_path: Path) -> None:
    text = """
import subprocess
from aioparcs import serve
def start():
    return subprocess.Popen(["sleep", "60"]).pid
serve(start)
"""
    async with job(module(tmp_path, "parent", text)) as runner, runner.start("parent") as t:
        pid = await t.call("start")
        sleep = [process for process in family() if process.pid == pid]
        assert len(live(sleep)) == 1
    await gone(sleep)


async def test_send_eof_lets_the_worker_finish_and_answer() -> None:
    async with job() as runner, runner.start("talker") as t:
        await t.send(["echo", 1, 2])
        await t.send_eof()
        with pytest.raises(ChannelClosed):
            await t.send(["echo", 3])
        assert [message async for message in t] == [1, 2]
        with pytest.raises(EndOfChannel):
            await t.recv()


# Whole jobs


async def test_leaving_a_runner_normally_lets_its_workers_finish() -> None:
    recorder = EventRecorder()
    async with job(recorder=recorder) as runner:
        for t in await runner.start_many("talker", 3, env={"LINGER": "0.2"}):
            await t.send(["print_lines", "said at the end"])
    assert recorder.lines == {worker: ["said at the end"] for worker in range(3)}
    assert {event[3] for event in recorder.events if event[0] == "ended"} == {None}
    assert not family()


@pytest.mark.slow
async def test_leaving_a_runner_on_an_error_kills_at_once() -> None:
    begun = 0.0
    with suppress(KeyError):
        async with job(close_timeout=LONG) as runner:
            for verb in ["stubborn"], ["compute", 60]:
                t = await runner.start("talker")
                await t.send(verb)
                await t.recv()
            begun = loop_time()
            raise KeyError
    assert loop_time() - begun < PATIENCE
    assert not family()


@pytest.mark.slow
@pytest.mark.parametrize("stopped", ["fork server", "all"])
async def test_leaving_a_runner_on_an_error_waits_for_no_launcher_that_is_stopped(
    stopped: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deadlines, "KILL_REPORT", 0.3)
    monkeypatch.setattr(deadlines, "LAUNCHER_EXIT", LONG)
    begun = 0.0
    with suppress(KeyError):
        async with job(close_timeout=LONG) as runner:
            await runner.start_many("talker", 2)
            for process in children() if stopped == "fork server" else family():
                process.suspend()
            begun = loop_time()
            raise KeyError
    assert loop_time() - begun < PATIENCE
    assert not family()


@pytest.mark.slow
@pytest.mark.parametrize("leaving", [False, True])
async def test_cancelling_a_runner_while_it_works_or_leaves(leaving: bool) -> None:
    ready = asyncio.Event()

    async def work() -> None:
        async with job(close_timeout=LONG) as runner, runner.start("talker") as t:
            await t.send(["stubborn"])
            await t.recv()
            ready.set()
            if not leaving:
                await asyncio.Event().wait()

    working = asyncio.ensure_future(work())
    await ready.wait()
    await asyncio.wait([working], timeout=0.05)
    working.cancel()
    begun = loop_time()
    with pytest.raises(asyncio.CancelledError):
        await working
    assert loop_time() - begun < PATIENCE
    assert not family()


async def test_cancelling_a_runner_while_a_worker_starts(tmp_path: Path) -> None:
    async def work() -> None:
        async with job(tmp_path) as runner:
            await runner.start_many("late", 3)

    module(tmp_path, "late", "import time; time.sleep(60)")
    working = asyncio.ensure_future(work())
    await until(family)
    working.cancel()
    with pytest.raises(asyncio.CancelledError):
        await working
    assert not family()


async def test_channels_of_a_job_that_has_ended_are_closed() -> None:
    async with job() as runner:
        t = await runner.start("talker")
        receiving = asyncio.ensure_future(t.recv())
        await asyncio.wait([receiving], timeout=0.02)
    assert repr(t) == "<Task talker:0 gone>"
    assert isinstance((await asyncio.gather(receiving, return_exceptions=True))[0], ParcsError)
    with pytest.raises(ParcsError):
        await t.send(1)


# Modules that never become workers


@pytest.mark.slow
@pytest.mark.parametrize(
    "text, message",
    [
        ("raise RuntimeError('at import')", "ended with exit code 1 before it called serve"),
        ("import sys; sys.exit(7)", "ended with exit code 7 before it called serve"),
        ("print('that is all')", "ended without calling serve"),
        ("import os; os.kill(os.getpid(), 11)", "was killed by SIGSEGV before it called serve"),
        ("def (", "SyntaxError"),
        ("from aioparcs import serve\nserve(1)", "serve.. takes one subclass of Service"),
    ],
)
async def test_a_module_that_does_not_reach_serve(tmp_path: Path, text: str, message: str) -> None:
    async with job(module(tmp_path, "bad", text)) as runner:
        with pytest.raises(StartError, match=f"(?s)bad did not start: its main.py .*{message}") as caught:
            await runner.start("bad")
        assert ("RuntimeError: at import" in caught.value.last_lines) == ("at import" in text)
    assert not family()


async def test_a_module_that_never_connects_is_given_up_and_killed(tmp_path: Path) -> None:
    async with job(module(tmp_path, "late", "import time; time.sleep(60)"), start_timeout=0.3) as runner:
        begun = loop_time()
        with pytest.raises(StartError, match=r"not connected within 0.3 s \(PARCS_START_TIMEOUT\)"):
            await runner.start("late")
        assert loop_time() - begun < PATIENCE
        await gone(family())


BLOCKED = """
import os, time
from aioparcs import Service, serve
class Blocked(Service):
    def __init__(self):
        if os.environ.get("BLOCKED"): time.sleep(60)
    async def run(self):
        await self.send(1)
serve(Blocked)
"""


@pytest.mark.slow
async def test_a_service_that_blocks_in_its_constructor_is_connected(tmp_path: Path) -> None:
    async with job(module(tmp_path, "blocked", BLOCKED)) as runner:
        t = await runner.start("blocked", env={"BLOCKED": "1"})
        assert t.state == "open"
        await t.kill()
        async with runner.start("blocked") as t:
            assert await t.recv() == 1
