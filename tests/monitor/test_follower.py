"""Histories that are followed while they are written, by hand and by real programs."""

import fcntl
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest

from aioparcs.events import LogLines
from aioparcs.events.codec import to_json
from aioparcs.monitor import FollowedJob, Follower, Jobs, JobStream
from aioparcs.recording import read_recording
from aioparcs.recording.history import history_of
from aioparcs.recording.store import histories
from aioparcs.recording.summary import summarize
from tests.support.jobs import ENVIRONMENT
from tests.support.recordings import recording, started, write_recording
from tests.support.waiting import until

pytestmark = pytest.mark.one_loop

PROGRAM = """
import asyncio, os, time
from aioparcs import run

def work(n):
    print("working on", n)
    time.sleep(0.01)
    return n

async def main(runner):
    async with runner.pool(work, 2) as pool:
        await pool.map(range(20))
        print("done", flush=True)
        while not os.path.exists("end"):
            await asyncio.sleep(0.01)

run(main)
"""


@contextmanager
def followed(path: Path) -> Iterator[FollowedJob]:
    one = FollowedJob(path)
    try:
        yield one
    finally:
        one.close()


@contextmanager
def locked(path: Path) -> Iterator[IO[bytes]]:
    """Open a file as the program that writes it does."""
    with path.open("ab", buffering=0) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file


def line(text: str) -> bytes:
    return f"{to_json(LogLines(started().time + 1, 'f', ((1, text),)))}\n".encode()


def test_lines_are_read_when_they_are_whole(tmp_path: Path) -> None:
    path = tmp_path / "job.jsonl"
    data = line("first é") + line("second") + b"not json\n\xff\xfe\n" + line("third")
    path.touch()
    follower = Follower(path)
    texts = []
    with path.open("ab", buffering=0) as file:
        for place in range(len(data)):
            file.write(data[place : place + 1])
            while (events := follower.read()) is not None:
                texts += [event.lines[0][1] for event in events if isinstance(event, LogLines)]
            assert len(texts) == data[: place + 1].count(b"]]}\n")
    follower.close()
    assert texts == ["first é", "second", "third"]


def test_a_line_without_end_does_not_fill_the_memory(tmp_path: Path) -> None:
    path = tmp_path / "job.jsonl"
    path.write_bytes(b"x" * (9 << 20) + b"\n" + line("after it"))
    follower = Follower(path)
    events = []
    while (found := follower.read()) is not None:
        events += found
        assert len(follower._begun) <= 5 << 20
    follower.close()
    assert [event.lines[0][1] for event in events if isinstance(event, LogLines)] == ["after it"]


def test_a_job_is_followed_until_its_program_is_gone(tmp_path: Path) -> None:
    path = write_recording(tmp_path / "render-1a2b3c.jsonl", recording(4, 500))
    whole = path.read_bytes()
    path.write_bytes(b"")
    with locked(path) as file:
        with followed(path) as one:
            one.poll()
            assert one.job.row()["state"] == "running"
            file.write(whole[: len(whole) // 2])
            one.poll()
            assert one.job.row()["state"] == "running"
            assert 0 < one.job.calls.calls < 2000
            file.write(whole[len(whole) // 2 :])
            one.poll()
            assert (one.job.row()["state"], one.job.calls.calls) == ("done", 2000)
    path.write_bytes(whole[: len(whole) // 2])
    with followed(path) as one:
        one.poll()
        assert one.job.row()["state"] == "killed"
        path.unlink()
        one.poll()
        assert one.job.row()["state"] == "killed"


@pytest.mark.slow
def test_a_long_history_is_read_in_pieces(tmp_path: Path) -> None:
    path = write_recording(tmp_path / "render-1a2b3c.jsonl", recording(40, 300))
    size = path.stat().st_size
    assert size > 2 << 20
    with followed(path) as one:
        polls = [one.poll(1) for _ in range(size // (1 << 20) + 1)]
        assert polls == [True] * (len(polls) - 1) + [False]
        assert (one.job.calls.calls, one.poll(1)) == (12_000, False)


def test_the_list_has_all_jobs_of_the_folder(tmp_path: Path) -> None:
    jobs = Jobs(tmp_path / "jobs")
    assert jobs.rows() == []
    (tmp_path / "jobs").mkdir()
    first = write_recording(tmp_path / "jobs" / "first-000001.jsonl", recording(4, 20))
    write_recording(tmp_path / "jobs" / "second-000002.jsonl", recording(2, 5, error="ValueError: no"))
    (tmp_path / "jobs" / "other.txt").write_text("other")
    (tmp_path / "jobs" / ".third-000003.jsonl").write_text("")
    running = tmp_path / "jobs" / "fourth-000004.jsonl"
    running.write_text(f"{to_json(started())}\n")
    with locked(running):
        listed = jobs.rows()
        rows = {row["id"]: row for row in listed}
        assert len(listed) == 3
        states = {name: row["state"] for name, row in rows.items()}
        assert states == {"first-000001": "done", "second-000002": "failed", "fourth-000004": "running"}
        assert rows["first-000001"]["items"]["done"] == 80
        assert rows["second-000002"]["error"] == "ValueError: no"
    assert {row["id"]: row["state"] for row in jobs.rows()}["fourth-000004"] == "killed"
    first.unlink()
    assert {row["id"] for row in jobs.rows()} == {"second-000002", "fourth-000004"}
    assert jobs.path("second-000002") == tmp_path / "jobs" / "second-000002.jsonl"
    assert jobs.path("first-000001") is jobs.path("../jobs/second-000002") is jobs.path("") is None
    jobs.close()


@pytest.mark.slow
@pytest.mark.parametrize("ending", [None, signal.SIGKILL, signal.SIGINT], ids=str)
async def test_a_real_program_is_seen_live(tmp_path: Path, ending: signal.Signals | None) -> None:
    (tmp_path / "main.py").write_text(PROGRAM)
    state = tmp_path / "state"
    with subprocess.Popen(  # noqa: ASYNC220  # it starts at once
        [sys.executable, "main.py"], cwd=tmp_path,
        env=ENVIRONMENT | {"PARCS_RECORD": "run.jsonl", "XDG_STATE_HOME": str(state), "PARCS_HISTORY": "on"},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        await until(lambda: histories(state / "aioparcs" / "jobs"))
        (path,) = histories(state / "aioparcs" / "jobs")
        with followed(path) as one:
            stream = JobStream(one.job)

            def calls() -> int:
                one.poll()
                stream.next()
                return one.job.calls.calls

            await until(lambda: calls() == 20)
            assert one.job.row()["items"] == {"done": 20, "total": 20, "failed": 0, "running": 0}
            assert one.job.row()["workers"]["up"] == 2
            assert {row[4] for row in one.job.output.rows()} >= {f"working on {n}" for n in range(20)}
            if ending:
                process.send_signal(ending)
            else:
                (tmp_path / "end").touch()
            process.wait(60)
            one.poll()
            assert one.job.row()["state"] == {None: "done", signal.SIGKILL: "killed", signal.SIGINT: "stopped"}[ending]
            assert one.job.row()["error"] == ("stopped by SIGINT" if ending is signal.SIGINT else "")
            made = read_recording(path)
            assert one.job.overview()["utilisation"] == pytest.approx(summarize(history_of(made)).utilisation, abs=0.01)
