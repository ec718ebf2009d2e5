"""The folder of histories: what is in it, for how long, and who may read it."""

import fcntl
import os
import signal
import stat
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from time import monotonic

import psutil
import pytest

from aioparcs.errors import SettingError
from aioparcs.events import (
    Action,
    CallSpan,
    CallSpans,
    CallsRunning,
    ChannelSample,
    ChannelSamples,
    EventBus,
    LogLines,
    Notice,
    PoolProgress,
    PoolState,
    ProgramEnding,
    RunningCall,
    Use,
    WorkerConnected,
    WorkerExited,
    WorkerProgress,
    WorkersPlaced,
    WorkersRequested,
    WorkerUsage,
)
from aioparcs.recording import Recorder, read_recording
from aioparcs.recording.full import FULL, OVER
from aioparcs.recording.recorder import begin
from aioparcs.recording.store import histories, is_running, keep_history, open_history, prune, store_folder

FORKING = """
import multiprocessing, time
from concurrent.futures import ProcessPoolExecutor
from os import getpid
from aioparcs.events import EventBus
from aioparcs.recording.store import keep_history

with keep_history(EventBus(), "forking"):
    with ProcessPoolExecutor(1, multiprocessing.get_context("fork")) as executor:
        print(executor.submit(getpid).result(), flush=True)
        time.sleep(100)
"""


@pytest.fixture(autouse=True)
def _state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def test_a_history_is_private_and_locked_while_it_is_written() -> None:
    events = EventBus()
    with keep_history(events, "squares/main.py"):
        (path,) = histories()
        assert events.history == path
        assert path.parent == store_folder()
        assert path.name.startswith("squares-")
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert is_running(path)
        assert read_recording(path).started.program == "squares/main.py"
        events.publish(Notice(monotonic(), "f", "something"))
        assert not events.wants_calls
    assert not is_running(path)
    assert [type(event).__name__ for event in read_recording(path).events] == ["Notice", "ProgramEnding"]


@pytest.mark.parametrize(
    "program, name", [("a b/main.py", "a_b"), ("../../etc/passwd", "passwd"), ("sum.py", "sum"), ("…", "program"),
                      ("x" * 300 + "/main.py", "x" * 40), ("", "program"), (".hidden.py", "hidden")],
)  # fmt: skip
def test_the_name_of_a_history_is_a_plain_one(program: str, name: str) -> None:
    file, path = open_history(program)
    file.close()
    assert path.name.rpartition("-")[0] == name


def test_the_default_folder_is_in_the_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for value in ("", "relative"):
        monkeypatch.setenv("XDG_STATE_HOME", value)
        assert store_folder() == tmp_path / ".local/state/aioparcs/jobs"


def test_a_folder_that_cannot_be_made_is_no_error_unless_calls_are_wanted(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file")
    events = EventBus()
    with keep_history(events):
        assert events.history is None
    with pytest.raises(SettingError, match=r"the history of the job can't be written in .*Not a directory"):
        with keep_history(events, calls=True):
            pass


def test_the_oldest_that_have_ended_are_removed(tmp_path: Path) -> None:
    for number in range(60):
        path = tmp_path / f"old-{number:06}.jsonl"
        path.write_text("x" * 100)
        os.utime(path, (number, number))
    (tmp_path / "old-000000.sock").touch()
    with (tmp_path / "old-000001.jsonl").open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        prune(tmp_path)
        assert sorted(path.stem for path in histories(tmp_path)) == [
            "old-000001", *(f"old-{number:06}" for number in range(11, 60))
        ]  # fmt: skip
        assert not (tmp_path / "old-000000.sock").exists()
        prune(tmp_path, size=1000)
        assert sorted(path.stem for path in histories(tmp_path)) == [
            "old-000001", *(f"old-{number:06}" for number in range(50, 60))
        ]  # fmt: skip


def test_sockets_of_programs_that_were_killed_are_removed(tmp_path: Path) -> None:
    for name in ("killed-000000", "runs-000000", "gone-000000"):
        (tmp_path / f"{name}.sock").touch()
    (tmp_path / "killed-000000.jsonl").touch()
    with (tmp_path / "runs-000000.jsonl").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        prune(tmp_path)
        assert sorted(path.name for path in tmp_path.iterdir()) == [
            "killed-000000.jsonl", "runs-000000.jsonl", "runs-000000.sock"
        ]  # fmt: skip


def test_those_that_run_do_not_count(tmp_path: Path) -> None:
    with ExitStack() as stack:
        for number in range(60):
            path = tmp_path / f"old-{number:06}.jsonl"
            path.write_text("x" * 100)
            os.utime(path, (number, number))
            if number >= 50:
                fcntl.flock(stack.enter_context(path.open()), fcntl.LOCK_EX)
        prune(tmp_path)
        assert sorted(path.stem for path in histories(tmp_path)) == [f"old-{number:06}" for number in range(1, 60)]
        prune(tmp_path, size=1000)
        assert sorted(path.stem for path in histories(tmp_path)) == [f"old-{number:06}" for number in range(40, 60)]


@pytest.mark.slow
def test_a_program_that_was_killed_has_ended_though_a_process_that_it_has_forked_lives_on() -> None:
    with subprocess.Popen([sys.executable, "-c", FORKING], stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout
        child = int(program.stdout.readline())
        try:
            (path,) = histories()
            assert is_running(path), "the child has not released the lock of its parent"
            size = path.stat().st_size
            program.kill()
            program.wait()
            assert psutil.Process(child).status() != psutil.STATUS_ZOMBIE
            assert not is_running(path)
        finally:
            os.kill(child, signal.SIGKILL)
    assert path.stat().st_size == size, "the child has written nothing"


def test_what_a_killed_program_has_not_finished_is_removed(tmp_path: Path) -> None:
    (tmp_path / ".old-000000.jsonl").touch()
    os.utime(tmp_path / ".old-000000.jsonl", (1, 1))
    (tmp_path / ".new-000000.jsonl").touch()
    prune(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".new-000000.jsonl"]


def test_a_full_history_has_states_but_no_details(tmp_path: Path) -> None:
    path = tmp_path / "job.jsonl"
    recorder = Recorder(path.open("w"), path, 200_000)
    recorder(begin("program"))
    span = CallSpan(0, "f", 0.0, 1.0, 1.0, 1, 0, "", "")
    for number in range(1000):
        recorder(LogLines(float(number), "f", ((0, "a line"),)))
        recorder(CallSpans(float(number), 0, (span,)))
        recorder(WorkerProgress(float(number), "f", 0, 1.0, 2.0))
        recorder(ChannelSamples(float(number), (ChannelSample(0, 1, 2, 3, 4, 5),)))
        recorder(WorkerUsage(float(number), (Use(0, 0.5, 1 << 20),)))
        recorder(CallsRunning(float(number), 0, (RunningCall(0, "f", "item 1", 0.0),)))
        recorder(PoolProgress(float(number), PoolState(0, "f", number, 0, 1000, 1, 1, 1)))
    recorder(CallsRunning(1000.0, 0, ()))
    recorder(PoolProgress(1000.0, PoolState(0, "f", 1000, 0, 1000, 0, 0, 0)))
    recorder.close()
    assert path.stat().st_size < 250_000
    events = read_recording(path).events
    (place,) = (number for number, event in enumerate(events) if isinstance(event, Notice) and event.text == FULL)
    later = [event for event in events[place + 1 : -1] if isinstance(event, PoolProgress)]
    running = [event for event in events[place + 1 : -1] if isinstance(event, CallsRunning)]
    assert len(later) + len(running) == len(events) - place - 2
    assert running[-1].calls == ()
    assert 60 < len(running) < 100
    assert later[-1].state.is_over
    assert 60 < len(later) < 100


def test_a_full_history_does_not_grow_with_workers_that_come_and_go(tmp_path: Path) -> None:
    path, limit = tmp_path / "job.jsonl", 100_000
    recorder = Recorder(path.open("w"), path, limit)
    recorder(begin("program"))
    recorder(PoolProgress(0.0, PoolState(0, "f", 0, 0, 1000, 1, 1, 1)))
    for number in range(3000):
        time = number / 100
        recorder(WorkersRequested(time, "f", range(number, number + 1)))
        recorder(WorkersPlaced(time, "f", range(number, number + 1), "node"))
        recorder(WorkerConnected(time, "f", number))
        recorder(CallsRunning(time, 0, (RunningCall(number, "f", "item 1", 0.0),)))
        recorder(WorkerExited(time, "f", number, "x" * 10_000))
        recorder(Notice(time, "f", "y" * 10_000))
        recorder(Action(time, "z" * 10_000))
        recorder(PoolProgress(time, PoolState(0, "f", number, 0, 3000, 1, 1, 1)))
    recorder(PoolProgress(30.0, PoolState(0, "f", 3000, 0, 3000, 0, 0, 0)))
    recorder(ProgramEnding(30.0, "e" * 10_000))
    recorder.close()
    assert limit * 1.2 < path.stat().st_size < limit * 1.3
    events = read_recording(path).events
    (place,) = (number for number, event in enumerate(events) if isinstance(event, Notice) and event.text == OVER)
    (full,) = (number for number, event in enumerate(events) if isinstance(event, Notice) and event.text == FULL)
    assert all(
        len(event.error or "") <= 501 for event in events[full:] if isinstance(event, WorkerExited | ProgramEnding)
    )
    assert [event.calls for event in events[:place] if isinstance(event, CallsRunning)][-1] == ()
    *states, last, end = events[place + 1 :]
    assert 1 <= len(states) <= 4
    assert all(isinstance(event, PoolProgress) for event in states)
    assert isinstance(last, PoolProgress)
    assert last.state.is_over
    assert isinstance(end, ProgramEnding)


def test_the_limit_of_a_history_is_one_of_bytes(tmp_path: Path) -> None:
    path, limit = tmp_path / "job.jsonl", 100_000
    recorder = Recorder(path.open("w", encoding="utf-8", errors="backslashreplace"), path, limit)
    recorder(begin("program"))
    for number in range(1000):
        recorder(LogLines(float(number), "f", ((0, "é" * 1000), (1, "\ud800"))))
    recorder.close()
    assert limit <= path.stat().st_size < limit + 5000


def test_no_home_is_created_for_a_history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_STATE_HOME")
    for home in (tmp_path / "none", Path("relative"), Path("/")):
        monkeypatch.setenv("HOME", str(home))
        monkeypatch.chdir(tmp_path)
        events = EventBus()
        with keep_history(events, "squares/main.py"):
            assert events.history is None
        with pytest.raises(SettingError, match="the history of the job can't be written"):
            keep_history(events, "squares/main.py", calls=True).__enter__()
    assert list(tmp_path.iterdir()) == []


def test_no_history_is_written_into_a_folder_that_others_may_write_into(tmp_path: Path) -> None:
    folder = store_folder()
    folder.mkdir(parents=True)
    folder.chmod(0o777)
    with keep_history(events := EventBus(), "squares/main.py"):
        assert events.history is None
    folder.chmod(0o755)
    with keep_history(events, "squares/main.py"):
        assert histories()


def test_a_pipe_in_the_folder_is_no_history() -> None:
    with keep_history(EventBus(), "first/main.py"):
        os.mkfifo(store_folder() / "pipe-000000.jsonl")
    prune(store_folder(), files=1)
    with keep_history(EventBus(), "second/main.py"):
        assert sum(map(is_running, histories())) == 1
