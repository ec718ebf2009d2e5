"""The commands `aioparcs report` and `aioparcs diff`: what they write and where, and what they refuse."""

import json
import os
from pathlib import Path

import pytest

from tests.support.command import run
from tests.support.jobs import module
from tests.support.recordings import recording, write_recording
from tests.support.trace_format import check_trace

pytestmark = pytest.mark.slow

PROGRAM = """
import asyncio
from aioparcs import run

def square(n):
    return n * n

async def main(runner):
    async with runner.pool(square, 2) as pool:
        print(await pool.map(range(3)))
        {end}

run(main)
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write_recording(tmp_path / "run.jsonl", recording(2, 20))


def test_the_page_is_beside_the_recording_or_where_it_should_be(file: Path) -> None:
    done = run("report", "run.jsonl", cwd=file.parent)
    assert (done.returncode, done.stdout, done.stderr) == (0, "run.html\n", "")
    page = (file.parent / "run.html").read_text()
    assert page.startswith("<!DOCTYPE html>")
    assert "render/main.py" in page
    assert run("report", file, "-o", file.parent / "other.html").returncode == 0
    assert (file.parent / "other.html").read_text() == page
    assert run("report", file, "-o", "-").stdout == page


def test_what_cannot_be_read_or_written_is_one_line(file: Path, tmp_path: Path) -> None:
    (tmp_path / "other").write_text("something else\n")
    done = run("report", "other", cwd=tmp_path)
    message = "error: other is not a recording; aioparcs run --record FILE writes one\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", message)
    done = run("report", file, "-o", "nowhere/page.html", cwd=tmp_path)
    message = "error: nowhere/page.html can't be written: No such file or directory\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", message)
    done = run("report", file, "-o", file)
    assert (done.returncode, done.stdout) == (2, "")
    assert "is the recording itself" in done.stderr
    assert run("report", "nothing", cwd=tmp_path).returncode == 2


def test_a_file_that_was_named_by_mistake_is_not_replaced(file: Path, tmp_path: Path) -> None:
    module(tmp_path, "job", PROGRAM.format(end="pass"))
    program = tmp_path / "job" / "main.py"
    text = program.read_text()
    for command in (
        ("run", "job", "--record", program),
        ("run", "job", "--report", program),
        ("report", file, "-o", program),
        ("report", file, "--trace", program),
    ):
        done = run(*command, cwd=tmp_path)
        assert (done.returncode != 0, done.stdout, len(done.stderr.splitlines())) == (True, "", 1)
        assert "remove it, or name another file" in done.stderr
        assert program.read_text() == text
    for _ in range(2):  # those of a run before are replaced
        assert run("run", "job", "--record", "run2.jsonl", "--report", "run2.html", cwd=tmp_path).returncode == 0


def test_a_trace_in_place_of_the_page(file: Path) -> None:
    done = run("report", "run.jsonl", "--trace", "run.json", cwd=file.parent)
    assert (done.returncode, done.stdout, done.stderr) == (0, "run.json\n", "")
    events = json.loads((file.parent / "run.json").read_text())["traceEvents"]
    assert len([event for event in events if event["ph"] == "X" and event["cat"] == "call"]) == 40
    assert not (file.parent / "run.html").exists()
    done = run("report", file, "--trace", "a", "-o", "b")
    assert (done.returncode, done.stderr) == (2, "error: use either -o or --trace, not both\n")


MIXED = """
import asyncio
from aioparcs import run

def square(n):
    if n == 5:
        raise ValueError("five")
    return n * n

async def wait(n):
    await asyncio.sleep(0.03)

def count(n):
    yield from range(n)

async def main(runner):
    async with runner.pool(square, 2, concurrency=4) as pool, runner.start(square) as task:
        await pool.map(range(20), return_exceptions=True)
        await pool.map(range(8), function=wait)
        print([item async for item in pool.stream(3, function=count)], await task.call("square", 3))

run(main)
"""


def test_the_trace_of_a_program_follows_the_format(tmp_path: Path) -> None:
    folder = module(tmp_path, "mixed", MIXED)
    assert run("run", "mixed", "--record", "run.jsonl", cwd=folder).stdout == "[0, 1, 2] 9\n"
    assert run("report", "run.jsonl", "--trace", "run.json", cwd=folder).returncode == 0
    content = json.loads((folder / "run.json").read_text(), parse_constant=pytest.fail)
    check_trace(content)
    assert {event["ph"] for event in content["traceEvents"]} == {"X", "b", "e", "i", "C", "M"}


def test_two_recordings_side_by_side(file: Path) -> None:
    other = write_recording(file.parent / "other.jsonl", recording(2, 60, factor=3))
    file = write_recording(file.parent / "first.jsonl", recording(2, 60))
    done = run("diff", file, other)
    assert (done.returncode, done.stderr) == (0, "")
    rows = [line.split() for line in done.stdout.splitlines()]
    (mean,) = [row for row in rows if row[0] == "mean"][:1]
    assert mean[1].startswith(("9", "10"))
    assert mean[-2:] in (["%", "*"],)
    assert [row[0] for row in rows].count("share") == 2
    same = run("diff", file, file)
    assert (same.returncode, "*" in same.stdout) == (0, False)
    (file.parent / "text").write_text("no recording")
    assert run("diff", file, file.parent / "text").returncode == 1


@pytest.mark.parametrize(
    "end, code, shown",
    [
        ("", 0, "succeeded"),
        ("raise ValueError('why')", 1, '"error":"ValueError: why"'),
        ("import os; os.kill(os.getpid(), 2); await asyncio.sleep(60)", 130, '"error":"stopped by SIGINT"'),
        ("import os; os.kill(os.getpid(), 15); await asyncio.sleep(60)", 143, '"error":"stopped by SIGTERM"'),
        ("raise SystemExit(7)", 7, '"error":"exit code 7"'),
    ],
)
def test_a_run_writes_its_page_however_it_ends(tmp_path: Path, end: str, code: int, shown: str) -> None:
    module(tmp_path, "job", PROGRAM.format(end=end or "pass"))
    done = run("run", "job", "--report", "run.html", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (code, "[0, 1, 4]\n"), done.stderr
    page = (tmp_path / "run.html").read_text()
    assert shown in page
    assert "job/main.py" in page
    assert sorted(os.listdir(tmp_path)) == ["job", "run.html"]


def test_a_page_and_a_recording_of_one_run(tmp_path: Path) -> None:
    module(tmp_path, "job", PROGRAM.format(end="pass"))
    assert run("run", "job", "--report", "run.html", "--record", "run.jsonl", cwd=tmp_path).returncode == 0
    assert run("report", "run.jsonl", "-o", "-", cwd=tmp_path).stdout == (tmp_path / "run.html").read_text()


def test_a_page_that_cannot_be_written_is_an_error_before_the_run(tmp_path: Path) -> None:
    module(tmp_path, "job", PROGRAM.format(end="pass"))
    done = run("run", "job", "--report", "nowhere/run.html", cwd=tmp_path)
    message = "error: --report nowhere/run.html: there is no folder nowhere\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", message)
    done = run("run", "job", "--report", "run.html", "--on", "swarm", cwd=tmp_path)
    assert done.returncode == 2
    assert "with --on swarm use --record FILE, and aioparcs report FILE then" in done.stderr
