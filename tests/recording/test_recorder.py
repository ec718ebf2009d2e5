"""Recordings as programs on this machine write them, however they end."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from aioparcs.events import CallSpans, LogLines, PoolProgress, ProgramEnding, WorkerConnected, WorkerExited
from aioparcs.recording import Recording, read_recording
from tests.support.command import run
from tests.support.jobs import ENVIRONMENT, execute, family, left
from tests.support.wheels import wheel

pytestmark = [pytest.mark.one_loop, pytest.mark.slow]

PROGRAM = """
import asyncio, sys, time
from aioparcs import run

def work(n):
    print("working on", n)
    time.sleep(0.02)
    if n in map(int, sys.argv[1:]):
        raise ValueError(f"{n} is bad")
    return n

async def main(runner):
    async with runner.pool(work, 2) as pool:
        print(sum(await pool.map(range(10))))

run(main)
"""
ENDLESS = """
import asyncio
from aioparcs import run

def work(n):
    return n

async def main(runner):
    async with runner.pool(work, 1) as pool:
        await pool.map(range(10))
        print("done", flush=True)
        await asyncio.sleep(1.2)  # without any event
        print("later", flush=True)
        await asyncio.sleep(60)

run(main)
"""


@pytest.fixture
def main(tmp_path: Path) -> Path:
    """Write a program."""
    return write(tmp_path, PROGRAM)


def write(folder: Path, text: str) -> Path:
    (folder / "job").mkdir()
    (folder / "job" / "main.py").write_text(text)
    return folder / "job" / "main.py"


def calls(recording: Recording) -> int:
    spans = [event.spans for event in recording.events if isinstance(event, CallSpans)]
    return sum(span.calls for group in spans for span in group)


def check_whole(recording: Recording) -> None:
    """Check the recording of a program that has done all of its work."""
    assert recording.started.program == "job/main.py"
    assert recording.started.versions["Python"].startswith("3.")
    assert abs(recording.started.date - time.time()) < 600
    assert recording.skipped == 0
    assert calls(recording) == 10
    kinds = [type(event) for event in recording.events]
    assert kinds.count(WorkerConnected) == kinds.count(WorkerExited) == 2
    lines = [line for event in recording.events if isinstance(event, LogLines) for _, line in event.lines]
    assert sorted(lines) == [f"working on {n}" for n in range(10)]
    assert recording.events[-1] == ProgramEnding(recording.events[-1].time, "")
    times = [event.time for event in recording.events]
    assert max(times) == times[-1]
    done = [event.state.done for event in recording.events if isinstance(event, PoolProgress)]
    assert max(done) == 10


def test_a_program_records_itself(main: Path, tmp_path: Path) -> None:
    done = execute(main, tmp_path, PARCS_RECORD="run.jsonl")
    assert (done.returncode, done.stdout) == (0, "45\n"), done.stderr
    check_whole(read_recording(tmp_path / "run.jsonl"))
    assert sorted(os.listdir(tmp_path)) == ["job", "run.jsonl"], "launchers and workers record nothing"


@pytest.mark.parametrize("how", ["option", "variable", "-e"])
def test_the_command_line_records_a_run(main: Path, tmp_path: Path, how: str) -> None:
    options = {"option": ["--record", "run.jsonl"], "-e": ["-e", "PARCS_RECORD=run.jsonl"], "variable": []}[how]
    env = {"PARCS_RECORD": "run.jsonl"} if how == "variable" else {}
    done = run("run", main.parent, *options, cwd=tmp_path, **env)
    assert (done.returncode, done.stdout) == (0, "45\n"), done.stderr
    check_whole(read_recording(tmp_path / "run.jsonl"))


def test_what_is_shown_is_the_same_with_a_recording(main: Path, tmp_path: Path) -> None:
    shown = [execute(main, tmp_path, **env).stderr for env in ({}, {"PARCS_RECORD": "run.jsonl"})]
    assert [len(text.splitlines()) for text in shown] == [len(shown[0].splitlines())] * 2
    quiet = execute(main, tmp_path, PARCS_RECORD="run.jsonl", PARCS_PROGRESS="off").stderr
    assert sorted(line.partition("|")[2] for line in quiet.splitlines()) == [f" working on {n}" for n in range(10)]


def test_a_recording_replaces_an_older_one(main: Path, tmp_path: Path) -> None:
    (tmp_path / "run.jsonl").write_text('{"an": "older one"}\n' * 10_000)
    assert execute(main, tmp_path, PARCS_RECORD="run.jsonl").returncode == 0
    check_whole(read_recording(tmp_path / "run.jsonl"))


@pytest.mark.parametrize("path, reason", [("nowhere/run.jsonl", "No such file or directory"), (".", "Is a directory")])
def test_a_file_that_cannot_be_written_is_an_error_before_the_run(
    main: Path, tmp_path: Path, path: str, reason: str
) -> None:
    done = execute(main, tmp_path, PARCS_RECORD=path)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"error: {path} can't be written: {reason}\n")
    done = run("run", main.parent, cwd=tmp_path, PARCS_RECORD=path)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"error: {path} can't be written: {reason}\n")


def test_the_error_of_a_program_is_recorded(main: Path, tmp_path: Path) -> None:
    command = [sys.executable, str(main), "7"]
    env = ENVIRONMENT | {"PARCS_RECORD": "run.jsonl"}
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    recording = read_recording(tmp_path / "run.jsonl")
    (end,) = [event for event in recording.events if isinstance(event, ProgramEnding)]
    assert end.error in {f"ValueError in worker work:{worker}: 7 is bad" for worker in range(2)}
    spans = [span for event in recording.events if isinstance(event, CallSpans) for span in event.spans]
    assert [span.error for span in spans if span.failed] == ["ValueError: 7 is bad"]


def test_a_recording_can_be_read_wherever_it_is_cut_off(main: Path, tmp_path: Path) -> None:
    assert execute(main, tmp_path, PARCS_RECORD="run.jsonl").returncode == 0
    data = (tmp_path / "run.jsonl").read_bytes()
    whole = read_recording(tmp_path / "run.jsonl")
    cut = tmp_path / "cut.jsonl"
    for size in range(data.index(b"\n"), len(data), 7):
        cut.write_bytes(data[:size])
        recording = read_recording(cut)
        assert recording.started == whole.started
        assert recording.events == whole.events[: len(recording.events)]
        assert recording.skipped <= 1


@pytest.mark.parametrize("text", ["", "\n", "{}\n", "an older one\n", '{"v":1,"kind":"Notice"}\n', "\x00\xff\n"])
def test_other_files_are_no_recordings(tmp_path: Path, text: str) -> None:
    (tmp_path / "other").write_text(text)
    with pytest.raises(ValueError, match="is not a recording; aioparcs run --record FILE writes one"):
        read_recording(tmp_path / "other")


def test_events_that_a_reader_does_not_know_are_counted(main: Path, tmp_path: Path) -> None:
    assert execute(main, tmp_path, PARCS_RECORD="run.jsonl").returncode == 0
    path = tmp_path / "run.jsonl"
    before = read_recording(path)
    with path.open("a") as file:
        file.write(json.dumps({"v": 1, "kind": "Tomorrow", "time": 1.0}) + "\n")
    assert read_recording(path) == before._replace(skipped=1)


def test_a_full_disk_ends_the_recording_and_not_the_job(main: Path, tmp_path: Path) -> None:
    limit, env = 1500, ENVIRONMENT | {"PARCS_RECORD": "run.jsonl", "PARCS_HISTORY": "off"}
    done = subprocess.run(
        [sys.executable, str(main)], cwd=tmp_path, env=env,
        capture_output=True, text=True, timeout=60,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "45\n"), done.stderr
    (line,) = [line for line in done.stderr.splitlines() if "recording" in line]
    assert line == "the recording run.jsonl has ended early, the job goes on: File too large"
    assert (tmp_path / "run.jsonl").stat().st_size <= limit
    assert read_recording(tmp_path / "run.jsonl").skipped <= 1


TWO_HISTORIES = """
import resource
from aioparcs.events import EventBus
from aioparcs.recording.store import keep_history

resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
for _ in range(2):
    with keep_history(EventBus(), "squares"):
        print("done")
"""


def test_a_full_disk_is_reported_once_for_the_histories_of_a_program(tmp_path: Path) -> None:
    env = ENVIRONMENT | {"XDG_STATE_HOME": str(tmp_path)}
    command = [sys.executable, "-c", TWO_HISTORIES]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "done\ndone\n"), done.stderr
    (line,) = done.stderr.splitlines()
    text = "aioparcs ui and top show no more of this job, which goes on, as its history can't be written: "
    assert line.startswith(f"{text}{tmp_path}/aioparcs/jobs/squares-")
    assert line.endswith(".jsonl: File too large")


FULL_HISTORY = """
import resource
from aioparcs.events import EventBus
from aioparcs.recording.store import is_running, keep_history

resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
bus = EventBus()
with keep_history(bus, "squares"):
    print(is_running(bus.history))
print(is_running(bus.history))
"""


def test_a_program_whose_history_cannot_be_written_is_known_to_run(tmp_path: Path) -> None:
    env = ENVIRONMENT | {"XDG_STATE_HOME": str(tmp_path)}
    command = [sys.executable, "-c", FULL_HISTORY]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "True\nFalse\n"), done.stderr


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_program_that_is_stopped_loses_at_most_a_second(tmp_path: Path, number: signal.Signals) -> None:
    main = write(tmp_path, ENDLESS)
    env = ENVIRONMENT | {"PARCS_RECORD": "run.jsonl"}
    with subprocess.Popen(
        [sys.executable, str(main)], cwd=tmp_path, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout
        lines = [process.stdout.readline() for _ in range(2)]
        processes = family(process.pid)
        process.send_signal(number)
        assert lines == [b"done\n", b"later\n"]
    recording = read_recording(tmp_path / "run.jsonl")
    assert calls(recording) == 10
    ends = [event.error for event in recording.events if isinstance(event, ProgramEnding)]
    assert ends == ([] if number is signal.SIGKILL else [f"stopped by {number.name}"])
    assert not left(processes)


def test_a_runner_in_an_environment_of_its_own_is_recorded_there(main: Path, tmp_path: Path) -> None:
    (main.parent / "requirements.txt").write_text(wheel(main.parent, 1))
    env = {"XDG_CACHE_HOME": str(tmp_path / "cache"), "PIP_NO_INDEX": "1", "PARCS_RECORD": "run.jsonl"}
    done = run("run", main.parent, cwd=tmp_path, **env)
    assert (done.returncode, done.stdout) == (0, "45\n"), done.stderr
    check_whole(read_recording(tmp_path / "run.jsonl"))
