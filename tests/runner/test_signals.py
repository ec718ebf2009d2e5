"""Signals to a runner at every moment of its life: its exit code, its last line, and nothing left of its job."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.support.jobs import MODULES, family, left, module, program
from tests.support.waiting import PATIENCE

pytestmark = pytest.mark.slow

HEAD = """
import asyncio, sys, time
from aioparcs import *
def say(text): print(text, flush=True)
"""
STARTING = """
async def main(runner):
    say("ready")
    await runner.start_many("late", 2)
run(main)
"""
WORKING = """
async def main(runner):
    async with runner.start_many("talker", 2) as tasks:
        for t in tasks:
            await t.send(["compute", 60])
            await t.recv()
        say("ready")
        await tasks[0].recv()
run(main)
"""
LEAVING = """
async def main(runner):
    t = await runner.start("talker")
    await t.send(["stubborn"])
    await t.recv()
    say("ready")
run(main)
"""
CLEANING_UP = """
async def main(runner):
    t = await runner.start("talker")
    try:
        say("ready")
        await asyncio.sleep(60)
    finally:
        say("cleaning up")
        await asyncio.sleep(SECONDS)
        say("cleaned up")
run(main)
"""
BLOCKED = """
async def main(runner):
    t = await runner.start("talker")
    say("ready")
    time.sleep(60)
run(main)
"""
# The second signal comes in the middle of the callback by which a gather ends.
GATHERING = """
import signal
def interrupt(frame, event, _):
    if event == "call" and frame.f_code.co_name == "_done_callback":
        sys.setprofile(None)
        signal.raise_signal(signal.SIGINT)
async def main(runner):
    t = await runner.start("talker")
    try:
        say("ready")
        await asyncio.sleep(60)
    finally:
        sys.setprofile(interrupt)
        await asyncio.gather(asyncio.sleep(0.1))
        await asyncio.sleep(60)
run(main)
"""
MOMENTS = {"starting": STARTING, "working": WORKING, "leaving": LEAVING}
STOPPING = {signal.SIGINT: "stopping; press Ctrl-C again to end at once\n", signal.SIGTERM: "stopping\n"}

Program = subprocess.Popen[str]


@pytest.fixture
def modules(tmp_path: Path) -> str:
    module(tmp_path, "late", "import time; time.sleep(60)")
    return f"{MODULES}:{tmp_path}"


def begin(process: Program) -> list[psutil.Process]:
    """Wait until the program is ready and processes of its job are there."""
    expect(process, "ready")
    deadline = time.monotonic() + PATIENCE
    while not (workers := family(process.pid)):
        assert time.monotonic() < deadline
        time.sleep(0.005)
    return workers


def expect(process: Program, line: str) -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == f"{line}\n"


def end(process: Program) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=PATIENCE)
    return process.returncode, out, err


@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_signal_ends_the_job_and_leaves_nothing(moment: str, number: signal.Signals, code: int, modules: str) -> None:
    with program(HEAD + MOMENTS[moment], PARCS_MODULES=modules) as process:
        workers = begin(process)
        process.send_signal(number)
        assert end(process) == (code, "", f"{STOPPING[number]}stopped by {number.name}\n")
        assert left(workers) == []


@pytest.mark.parametrize("moment", MOMENTS)
def test_workers_of_a_runner_that_is_killed_end(moment: str, modules: str) -> None:
    with program(HEAD + MOMENTS[moment], PARCS_MODULES=modules) as process:
        workers = begin(process)
        process.kill()
        process.wait(PATIENCE)
        assert left(workers) == []
        end(process)


def test_ctrl_c_in_a_terminal_reaches_the_runner_alone(modules: str) -> None:
    # The terminal signals the whole foreground group: workers end by the runner's word, without a traceback each.
    with program(HEAD + WORKING, PARCS_MODULES=modules) as process:
        workers = begin(process)
        os.killpg(process.pid, signal.SIGINT)
        assert end(process) == (130, "", f"{STOPPING[signal.SIGINT]}stopped by SIGINT\n")
        assert left(workers) == []


def test_a_signal_is_answered_at_once_however_long_the_end_takes(modules: str) -> None:
    with program(HEAD + CLEANING_UP.replace("SECONDS", "60"), PARCS_MODULES=modules) as process:
        begin(process)
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        assert process.stderr.readline() == STOPPING[signal.SIGINT]
        process.send_signal(signal.SIGINT)
        assert end(process)[0] == 130


def test_the_program_may_clean_up_before_it_ends(modules: str) -> None:
    with program(HEAD + CLEANING_UP.replace("SECONDS", "0.1"), PARCS_MODULES=modules) as process:
        begin(process)
        process.send_signal(signal.SIGINT)
        assert end(process) == (130, "cleaning up\ncleaned up\n", f"{STOPPING[signal.SIGINT]}stopped by SIGINT\n")


def cleaning_up(process: Program) -> None:
    expect(process, "cleaning up")


def wait_until_handled(process: Program) -> None:
    """Wait until the program has dealt with the first signal and sleeps on: two that wait at once count as one."""
    deadline = time.monotonic() + PATIENCE
    while not _sleeps_on(process.pid):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _sleeps_on(pid: int) -> bool:
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    pending = int(status["SigPnd"], 16) | int(status["ShdPnd"], 16)
    return status["State"].split()[0] == "S" and not pending & 1 << signal.SIGINT - 1


def test_a_second_ctrl_c_interrupts_no_callback_that_others_wait_for(modules: str) -> None:
    with program(HEAD + GATHERING, PARCS_MODULES=modules) as process:
        workers = begin(process)
        process.send_signal(signal.SIGINT)
        assert end(process) == (130, "", f"{STOPPING[signal.SIGINT]}stopped by SIGINT\n")
        assert left(workers) == []


@pytest.mark.parametrize(
    "text, wait", [(CLEANING_UP, cleaning_up), (BLOCKED, wait_until_handled)], ids=["cleaning up", "blocked"]
)
def test_a_second_ctrl_c_ends_at_once(text: str, wait: Callable[[Program], None], modules: str) -> None:
    with program(HEAD + text.replace("SECONDS", "60"), PARCS_MODULES=modules) as process:
        workers = begin(process)
        process.send_signal(signal.SIGINT)
        wait(process)
        process.send_signal(signal.SIGINT)
        code, _, err = end(process)
        # A loop that is blocked can't say that it will stop.
        assert (code, err) == (130, f"{STOPPING[signal.SIGINT] * (text is CLEANING_UP)}stopped by SIGINT\n")
        assert left(workers) == []
