"""The output of workers: where it appears, in which order, and what it costs them."""

import asyncio
import io
import os
import re
import sys
import time
from pathlib import Path

import pytest

from aioparcs import WorkerLost
from aioparcs.display.console import Console
from aioparcs.events import LogLines, Notice
from aioparcs.launcher.agent.output import Output
from aioparcs.messages.launcher import Exited
from tests.support.jobs import EventRecorder, execute, job, module
from tests.support.waiting import PATIENCE

pytestmark = [pytest.mark.one_loop, pytest.mark.slow]

HEAD = "import asyncio, os, sys, time\nfrom aioparcs import *\n"


# As people see it


def test_lines_are_prefixed_by_their_worker_and_the_runners_own_are_not() -> None:
    done = execute(
        f"""{HEAD}
async def main(runner):
    print("mine")
    for t in await runner.start_many("printer", 2):
        await t.call("log", "logged")
        await t.call("write", b"partial")
    print("mine too", file=sys.stderr)
run(main)
"""
    )
    assert (done.returncode, done.stdout) == (0, "mine\n")
    assert sorted(done.stderr.splitlines()) == [
        "mine too",
        "printer:0 | INFO printer: logged",
        "printer:0 | partial",
        "printer:1 | INFO printer: logged",
        "printer:1 | partial",
    ]


def test_output_before_serve_is_shown_for_the_module(tmp_path: Path) -> None:
    module(tmp_path, "loud", "print('loading')\nfrom aioparcs import serve\ndef f(): print('f')\nserve(f)")
    text = f"{HEAD}async def main(runner): await (await runner.start('loud')).call('f')\nrun(main)"
    done = execute(text, PARCS_MODULES=str(tmp_path))
    assert done.stderr.splitlines() == ["loud | loading", "loud:0 | f"]


GONE = """
    reading, writing = os.pipe()
    os.dup2(writing, 2)
    os.close(reading), os.close(writing)
"""


@pytest.mark.parametrize(
    "text", [GONE, "    sys.stderr.close()", "    sys.stderr = None"], ids=["gone", "closed", "none"]
)
def test_a_job_whose_output_is_not_read_goes_on(text: str) -> None:
    done = execute(
        f"""{HEAD}
async def main(runner):
{text}
    async with runner.start("printer") as t:
        for _ in range(3):
            await t.call("both", 100)
    print("done", flush=True)
    os._exit(0)  # the interpreter's own end would miss the stream too
run(main)
"""
    )
    assert (done.returncode, done.stdout) == (0, "done\n")


def test_the_console_writes_each_line_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def write(self, text: str) -> int:
            writes.append(text)
            return len(text)

    writes: list[str] = []
    monkeypatch.setattr(sys, "stderr", Terminal())
    console = Console(progress=True)
    console(LogLines(0, "factor", ((3, "text"), (None, "launcher"))))
    console(Notice(0, "factor", "making its environment"))
    assert writes == ["factor:3 | text\n", "factor | launcher\n", "factor: making its environment\n"]


LOGGING = """
import logging, logging.config
from aioparcs import serve
logging.getLogger("library").addHandler(logging.NullHandler())
FORMAT = "own %(levelname)s %(message)s"
{top}
def setup():
    {setup}
def log():
    {function}
    logging.debug("fine")
    logging.info("plain")
    logging.getLogger("mine").warning("loud")
    root = logging.getLogger()
    return len(root.handlers), root.level
serve(setup, log)
"""
BASIC = "logging.basicConfig(format=FORMAT)"
LEVEL = "logging.basicConfig(format=FORMAT, level=logging.DEBUG)"
ALL = ["own DEBUG fine", "own INFO plain", "own WARNING loud"]
ADDED = "logging.getLogger().setLevel(logging.INFO); logging.getLogger().addHandler(logging.NullHandler())"
TABLE = "logging.config.dictConfig({'version': 1, 'root': {'level': 'INFO'}})"


@pytest.mark.parametrize(
    "top, setup, function, lines, state",
    [
        ("", "pass", "pass", ["INFO root: plain", "WARNING mine: loud"], (0, 20)),
        (BASIC, "pass", "pass", ["own WARNING loud"], (1, 30)),
        ("", BASIC, "pass", ["own WARNING loud"], (1, 30)),
        ("", "pass", LEVEL, ALL, (1, 10)),
        ("logging.getLogger().setLevel(logging.DEBUG)", "pass", BASIC, ALL, (1, 10)),
        ("", "pass", ADDED, [], (1, 20)),
        ("", "pass", TABLE, ["INFO root: plain", "WARNING mine: loud"], (0, 20)),
    ],
)
async def test_a_workers_logging_is_as_it_configures_it(
    tmp_path: Path, top: str, setup: str, function: str, lines: list[str], state: tuple[int, int]
) -> None:
    recorder = EventRecorder()
    text = LOGGING.format(top=top, setup=setup, function=function)
    async with job(module(tmp_path, "logging_", text), recorder=recorder) as runner:
        async with runner.start("logging_") as t:
            await t.call("setup")
            assert await t.call("log") == state
    assert recorder.lines.get(0, []) == lines


@pytest.mark.parametrize(
    "top, inside, lines",
    [
        ("", "", ["INFO root: begun", "WARNING mine: loud"]),
        ("", "logging.basicConfig(format='own %(message)s')", ["own loud"]),
        ("logging.basicConfig(format='own %(message)s', level=20)", "", ["own begun", "own loud"]),
    ],
)
def test_a_runners_records_are_shown_as_its_workers_are(top: str, inside: str, lines: list[str]) -> None:
    done = execute(
        f"""{HEAD}import logging
{top}
async def main(runner):
    {inside}
    logging.info("begun")
    logging.getLogger("mine").warning("loud")
run(main)
"""
    )
    assert (done.returncode, done.stderr.splitlines()) == (0, lines)


FULL = "sys.stdout = open('/dev/full', 'w'); print('to no reader')"
TEE = """
class Tee:
    def write(self, text):
        return len(text)
sys.stdout = Tee()
"""


@pytest.mark.parametrize("fork", [True, False])
@pytest.mark.parametrize("text", [TEE, "sys.stdout.close()", "sys.stdout = sys.stderr = None", FULL])
async def test_an_odd_standard_output_ends_no_worker(tmp_path: Path, text: str, fork: bool) -> None:
    recorder = EventRecorder()
    module(tmp_path, "odd", f"{HEAD}{text}\ndef f(): return 1\nserve(f, fork={fork})")
    async with job(tmp_path, recorder=recorder) as runner, runner.start("odd") as t:
        assert await t.call("f") == 1
    assert recorder.events[-1] == ("ended", "odd", 0, None)
    expected = "" if fork or text != FULL else "error: '/dev/full' could not be written: No space left on device"
    assert recorder.lines.get(0, [""]) == [expected]


# As an observer gets it


async def test_stderr_and_stdout_keep_their_order_and_all_lines_arrive() -> None:
    recorder = EventRecorder()
    async with job(recorder=recorder) as runner:
        t = await runner.start("printer")
        await t.call("both", 2000)
    assert recorder.lines[0] == [f"{stream} {i}" for i in range(2000) for stream in ("out", "err")]
    assert recorder.notes == []


async def test_the_last_of_many_lines_arrive_before_the_runner_ends() -> None:
    recorder = EventRecorder()
    async with job(recorder=recorder) as runner:
        t = await runner.start("printer")
        await t.call("repeat", "x", 100, 8000)
    assert len(recorder.lines[0]) == 8000
    assert recorder.notes == []


async def test_lines_of_many_workers_at_once_are_never_torn_and_keep_their_order() -> None:
    recorder = EventRecorder()
    async with job(recorder=recorder) as runner, runner.start_many("printer", 20) as tasks:
        await asyncio.gather(*(t.call("repeat", chr(97 + t.rank), 5000, 20) for t in tasks))
    for worker in range(20):
        assert recorder.lines[worker] == [f"{i} " + chr(97 + worker) * 5000 for i in range(20)]


async def test_partial_lines_bytes_and_carriage_returns() -> None:
    recorder = EventRecorder()
    async with job(recorder=recorder) as runner, runner.start("printer") as t:
        await t.call("write", b"one\ntw", b"o\r\n\n", "größer\n".encode()[:3], "größer\n".encode()[3:])
        await t.call("write", b"\xff\xfe\x00 no text\n", b"the end")
    assert recorder.lines[0] == ["one", "two", "", "größer", "\ufffd\ufffd\x00 no text", "the end"]


async def test_a_very_long_line_arrives_in_pieces() -> None:
    recorder = EventRecorder()
    async with job(recorder=recorder) as runner, runner.start("printer") as t:
        await t.call("repeat", "x", 1_000_000, 1)
        await t.call("write", b"next\n")
    *pieces, last = recorder.lines[0]
    assert ("".join(pieces), last) == ("0 " + "x" * 1_000_000, "next")
    assert max(map(len, pieces)) < 200_000


async def test_the_last_lines_are_in_the_error() -> None:
    recorder = EventRecorder()
    async with job(recorder=recorder, last_lines=3) as runner:
        t = await runner.start("printer")
        await t.call("both", 5)
        with pytest.raises(WorkerLost, match=r"exit code 9; its last lines:\n    out 4\n    err 4\n    the end$"):
            await t.call("write_and_die", "the end")
    assert recorder.lines[0][-2:] == ["err 4", "the end"]


async def test_printing_never_waits_for_the_runner(tmp_path: Path) -> None:
    recorder, done = EventRecorder(), tmp_path / "done"
    async with job(recorder=recorder, log_queue=5000) as runner, runner.start("printer") as t:
        call = asyncio.ensure_future(t.call("many", 200_000, str(done)))
        await asyncio.sleep(0)  # the call is on its way
        block_until(done)
        await call
    lines = recorder.lines[0]
    counts = [re.match(r"([\d,]+) lines? of output w", note) for note in recorder.notes]
    dropped = sum(int(count[1].replace(",", "")) for count in counts if count)
    assert dropped > 0
    assert len(lines) + dropped == 200_000
    numbers = list(map(int, lines))
    assert numbers == sorted(set(numbers)), "in order, none twice"


def block_until(done: Path) -> None:
    """Block the loop, as a program that computes does: were printing to wait for it, this would never end."""
    deadline = time.monotonic() + PATIENCE
    while not done.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)


async def test_ends_of_workers_with_many_results_are_reported_one_by_one() -> None:
    reading, writing = os.pipe()
    output = Output(asyncio.get_running_loop(), reading, 10, 10, lambda *_: None)
    try:
        for worker in (0, 1):
            output.finish(Exited(worker, -9, [], bytes(48 << 10)))
        for worker in (0, 1):
            news = await asyncio.wait_for(output.news(), PATIENCE)
            assert [one.worker for one in news.exits] == [worker]
    finally:
        output.close()
        os.close(reading)
        os.close(writing)
