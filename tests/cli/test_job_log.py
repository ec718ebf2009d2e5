"""The log of a submitted runner as the commands show it: here the runner is a process of this machine."""

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from math import inf
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from aioparcs.cli.job_log import LogEvents, RunnerClock, print_log, read_progress
from aioparcs.display import Detail
from aioparcs.events import Event, EventBus, Notice, Packed, ProgramStarted, Snapshot, StatusLine
from aioparcs.events.codec import from_json, to_json
from aioparcs.events.log import EventLogReader
from aioparcs.monitor import LiveJob
from aioparcs.swarm.docker.logs import LogLine
from tests.support.command import COMMAND, ENVIRONMENT, TIMEOUT, in_terminal, run, visible
from tests.support.jobs import module

WORD = "0123456789abcdef"
ODD = """
from aioparcs import serve

def odd(n):
    if n == 7:
        print("\\x1e0123456789abcdef 99999 {} from a worker")
    if n % 2 == 0:
        raise ValueError("even")
    return n

serve(odd)
"""
POOLING = """
import sys
from aioparcs import run

async def main(runner):
    async with runner.pool("odd", 2, progress="find the odd ones") as pool:
        print(sum(isinstance(one, int) for one in await pool.map(range(10), return_exceptions=True)))
    print("the end", file=sys.stderr)

run(main)
"""


def submitted(tmp_path: Path, *arguments: str) -> list[LogLine]:
    """Run a runner with a pool as one that was submitted runs; return its log."""
    module(tmp_path, "odd", ODD)
    folder = module(tmp_path, "pooling", POOLING) / "pooling"
    done = subprocess.run(
        [*COMMAND, "run", str(folder), *arguments],
        env=ENVIRONMENT | {"PARCS_EVENTS": WORD},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TIMEOUT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return log(done.stdout.split("\n")[:-1], error=False) + log(done.stderr.split("\n")[:-1], error=True)


def log(texts: Sequence[str], *, error: bool) -> list[LogLine]:
    return [LogLine(text, error, number) for number, text in enumerate(texts)]


async def replay(lines: list[LogLine]) -> AsyncIterator[LogLine]:
    for line in lines:
        yield line


async def paced(lines: list[LogLine]) -> AsyncIterator[LogLine]:
    """Yield lines as they came: each event in its time, which readers take from when it comes."""
    reader, begun = EventLogReader(WORD), inf
    for line in lines:
        match reader.read(line.text, error=line.error):
            case Snapshot() | Packed() as event:
                begun = monotonic() - event.time if begun == inf else begun
                await asyncio.sleep(begun + event.time - monotonic())
        yield line


def shown(lines: list[LogLine], capsys: pytest.CaptureFixture[str], word: str = WORD) -> tuple[str, list[str]]:
    """Print a log where there is no terminal; return what went to standard output, and the lines of standard error."""
    asyncio.run(print_log(replay(lines), word, Detail.NORMAL, live=True))
    out, err = capsys.readouterr()
    return out, err.split("\n")[:-1]


@pytest.mark.slow
def test_a_log_without_a_terminal_shows_what_a_local_run_shows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, lines = shown(submitted(tmp_path), capsys)
    assert out == "5\n"
    assert "\x1e" not in "".join(lines)
    assert "odd: starting 2 workers" in lines
    assert "odd: 2 of 2 connected" in lines
    assert any(re.fullmatch(r"odd:[01] \| 0123456789abcdef 99999 {} from a worker", line) for line in lines)
    assert any(line.startswith("find the odd ones: 10 of 10 items in ") for line in lines)
    assert "the end" in lines
    assert re.fullmatch(r"2 workers, \d+\.\d s", lines[-1])


@pytest.mark.slow
def test_a_quiet_runner_prints_little_and_shows_its_progress(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = submitted(tmp_path, "-q")
    assert shown(lines, capsys) == ("5\n", ["find the odd ones: 5 of 10 items failed", "the end"])
    progress = read_progress(lines, WORD)
    assert progress
    assert progress["over"]


@pytest.mark.slow
def test_a_runner_writes_events_only_on_request(tmp_path: Path) -> None:
    module(tmp_path, "odd", ODD)
    done = run("run", module(tmp_path, "pooling", POOLING) / "pooling")
    assert "\x1e" not in done.stderr
    assert read_progress(log(done.stderr.split("\n"), error=True), WORD) is None


ASKING = """
import os
from aioparcs import run

async def main(runner):
    print(os.environ.get("PARCS_EVENTS"))

run(main)
"""


@pytest.mark.slow
def test_the_processes_of_a_runner_do_not_write_events(tmp_path: Path) -> None:
    done = run("run", module(tmp_path, "asking", ASKING) / "asking", PARCS_EVENTS=WORD)
    assert done.stdout == "None\n"
    wrong = run("run", tmp_path / "asking", PARCS_EVENTS="no word")
    assert (wrong.returncode, wrong.stderr) == (
        2,
        "error: PARCS_EVENTS='no word' is not a word of letters and digits\n",
    )


@pytest.mark.slow
def test_the_progress_of_a_job_is_read_from_its_log(tmp_path: Path) -> None:
    progress = read_progress(submitted(tmp_path), WORD)
    assert progress is not None
    assert json.loads(json.dumps(progress)) == progress
    (pool,) = progress.pop("pools")
    assert pool.pop("rate") > 0
    assert pool == {"pool": "find the odd ones", "done": 10, "failed": 5, "retried": 0, "total": 10, "running": 0,
                    "workers": 0, "wanted": 0, "over": True, "left": None}  # fmt: skip
    assert progress.pop("elapsed") > 0
    odd = {"module": "odd", "workers": 2, "connected": 0, "finished": 2, "failed": 0, "stopped": 0, "fraction": None,
           "left": None, "nodes": {}}  # fmt: skip
    assert progress == {"over": True, "modules": [odd], "more_pools": 0}


# On a terminal

SHOWING = """
import asyncio, json, sys
from aioparcs.cli.job_log import print_log
from aioparcs.display import Detail
from aioparcs.swarm.docker.logs import LogLine

async def replay():
    for line in json.loads(open(sys.argv[1]).read()):
        yield LogLine(*line)

asyncio.run(print_log(replay(), sys.argv[2], Detail[sys.argv[3]], live=True))
"""


def on_a_terminal(tmp_path: Path, lines: list[LogLine], word: str = WORD, detail: Detail = Detail.NORMAL) -> str:
    file = tmp_path / "log.json"
    file.write_text(json.dumps(lines))
    code, written = in_terminal(str(file), word, detail.name, command=[sys.executable, "-c", SHOWING])
    assert code == 0, written
    return written


@pytest.mark.slow
def test_a_terminal_shows_the_live_display_of_a_job_elsewhere(tmp_path: Path) -> None:
    written = on_a_terminal(tmp_path, submitted(tmp_path))
    text = visible(written)
    assert re.search(r"(^|[\r\n])5\n", text)
    assert "the end\n" in text
    assert "━" in text
    assert re.search(r"[\r\n]odd +2 workers finished *\n", text)
    assert re.search(r"[\r\n]find the odd .*━ +10 of 10  5 failed  in ", text)
    assert re.search(r"\n\d+\.\d s *\n$", text)
    assert "\x1e" not in text
    for left_out in ("starting 2 workers", "2 of 2 connected", "10 of 10 items", "2 workers, "):
        assert left_out not in text
    assert written.rindex("\x1b[?25h") > written.rindex("\x1b[?25l"), "the cursor is hidden"


@pytest.mark.slow
def test_a_quiet_terminal_has_no_display(tmp_path: Path) -> None:
    text = on_a_terminal(tmp_path, submitted(tmp_path, "-q"), detail=Detail.QUIET)
    assert text == "5\nfind the odd ones: 5 of 10 items failed\nthe end\n"


@pytest.mark.slow
def test_hostile_text_of_a_log_does_nothing_to_a_terminal(tmp_path: Path) -> None:
    bad = "\x1b[2J\x9b2J\x1b]0;title\x07"
    state: dict[str, Any] = {"module": f"{bad}name", "requested": 1, "up": 1, "done": 0, "failed": 0, "stopped": 0}
    state |= {"reports": True, "fraction": 7.5e15, "nodes": {f"{bad}node": 1}}
    forged = {
        "v": 1,
        "kind": "Snapshot",
        "time": 1e15,
        "modules": [state],
        "pools": [],
        "earlier": 0,
        "is_over": False,
    }
    texts = [
        f"\x1efedcba9876543210 1 {to_json(StatusLine(1, 'of another word'))}",
        f"\x1e{WORD} 1 {json.dumps(forged)}",
        f"\x1e{WORD} 2 {to_json(StatusLine(1, bad))}",
        f"\x1e{WORD} 3 {{",
        f"{bad}text{bad}",
    ]
    text = visible(on_a_terminal(tmp_path, log(texts, error=True)))
    assert not set("\x1e\x9b\x07") & set(text)
    assert "title" not in text
    assert "text\n" in text
    assert "display failed" not in text
    assert re.search(r"\nname ", text)


def test_the_clock_of_a_runner_goes_on_between_snapshots_and_never_back(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("aioparcs.cli.job_log.monotonic", lambda: now)
    clock = RunnerClock()
    now = 1010.0
    assert clock.now() == 0.0
    clock.set(Snapshot(100.0, (), (), 0, False))
    now = 1012.0
    assert clock.now() == 102.0
    clock.set(Snapshot(101.5, (), (), 0, False))
    assert clock.now() == 102.0
    clock.set(Snapshot(105.0, (), (), 0, True))
    now = 1100.0
    assert clock.now() == 105.0


@pytest.mark.slow
def test_the_history_of_a_job_elsewhere_has_its_progress_and_its_lines(tmp_path: Path) -> None:
    events: list[Event] = []
    lines = submitted(tmp_path)
    asyncio.run(print_log(paced(lines), WORD, Detail.QUIET, live=False, events=EventBus(events.append)))
    view = LiveJob("pooling-000000")
    began = ProgramStarted(events[0].time - 10, 1e9, "pooling/main.py", {"engine": "swarm"})
    for event in (began, *(from_json(to_json(event)) for event in events)):
        assert event
        view.apply(event)
    row = view.row()
    assert row["engine"] == "swarm"
    assert row["items"] == {"done": 10, "total": 10, "failed": 5, "running": 0}
    assert row["workers"]["requested"] == 2
    (pool,) = view.parts()["pools"]
    assert 0 <= pool["begun"] <= pool["ended"] <= view.now < 10 + TIMEOUT
    workers = [worker.row() for worker in view.workers]
    assert [(row["number"], row["state"]) for row in workers] == [(0, "done"), (1, "done")]
    assert all(row["requested"] <= row["connected"] <= row["ended"] for row in workers)  # type: ignore[operator]  # all have
    assert (view.calls.calls, view.calls.failed) == (10, 5)
    texts = [(module, worker, text) for _, _, module, worker, text, _ in view.output.rows()]
    assert ("runner", None, "5") in texts
    assert ("runner", None, "the end") in texts
    assert any(module == "odd" and worker in (0, 1) and "from a worker" in text for module, worker, text in texts)


def test_that_a_log_has_no_room_is_a_notice_once() -> None:
    events: list[Event] = []
    log_events = LogEvents(EventBus(events.append))
    for dropped in (0, 3, 5):
        log_events.add(Packed(1.0, "", dropped))
    (notice,) = events
    assert isinstance(notice, Notice)
    assert "has no room" in notice.text
