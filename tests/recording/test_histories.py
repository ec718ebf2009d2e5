"""Histories of programs: those that have one, and its events."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from aioparcs.events import CallSpans, LogLines, ProgramEnding
from aioparcs.recording import read_recording
from tests.support.command import COMMAND, run
from tests.support.jobs import ENVIRONMENT, execute

pytestmark = [pytest.mark.one_loop, pytest.mark.slow]

PROGRAM = """
import sys
from aioparcs import run

def work(n):
    if n == 3:
        print("three")
    return n

async def main(runner):
    async with runner.pool(work, 2) as pool:
        print(sum(await pool.map(range(10))))
        if sys.argv[1:]:
            raise ValueError("no")

run(main)
"""


@pytest.fixture
def main(tmp_path: Path) -> Path:
    """Write a program."""
    (tmp_path / "adding").mkdir()
    (tmp_path / "adding" / "main.py").write_text(PROGRAM)
    return tmp_path / "adding" / "main.py"


def histories(folder: Path) -> list[Path]:
    return sorted((folder / "state" / "aioparcs" / "jobs").glob("*"))


@pytest.mark.parametrize("how", ["python", "aioparcs"])
def test_a_program_has_a_history_without_calls(main: Path, tmp_path: Path, how: str) -> None:
    state = str(tmp_path / "state")
    if how == "python":
        done = execute(main, tmp_path, XDG_STATE_HOME=state)
    else:
        done = run("run", main.parent, cwd=tmp_path, XDG_STATE_HOME=state)
    assert (done.returncode, done.stdout) == (0, "45\n"), done.stderr
    (path,) = histories(tmp_path)
    recording = read_recording(path)
    assert path.name.startswith("adding-")
    assert recording.started.program == "adding/main.py"
    assert recording.started.versions["engine"] == "local"
    kinds = {type(event) for event in recording.events}
    assert kinds >= {LogLines, ProgramEnding}
    assert CallSpans not in kinds


def test_a_program_that_is_recorded_has_the_same_history(main: Path, tmp_path: Path) -> None:
    done = execute(main, tmp_path, XDG_STATE_HOME=str(tmp_path / "state"), PARCS_RECORD="run.jsonl")
    assert done.returncode == 0
    (path,) = histories(tmp_path)
    assert read_recording(path).events[:-1] == read_recording(tmp_path / "run.jsonl").events[:-1]
    assert any(isinstance(event, CallSpans) for event in read_recording(path).events)


def test_the_error_is_in_the_history(main: Path, tmp_path: Path) -> None:
    env = ENVIRONMENT | {"XDG_STATE_HOME": str(tmp_path / "state")}
    done = subprocess.run([sys.executable, main, "fail"], env=env, capture_output=True, timeout=60)
    assert done.returncode == 1
    (path,) = histories(tmp_path)
    assert [event.error for event in read_recording(path).events if isinstance(event, ProgramEnding)] == [
        "ValueError: no"
    ]


@pytest.mark.parametrize(
    "variables",
    [{"PARCS_HISTORY": "off"}, {"XDG_STATE_HOME": "/proc/none"}, {"PARCS_EVENTS": "0123456789abcdef"}],
    ids=str,
)
def test_a_program_without_a_history_runs_as_well(main: Path, tmp_path: Path, variables: dict[str, str]) -> None:
    variables = {"XDG_STATE_HOME": str(tmp_path / "state")} | variables
    done = run("run", main.parent, cwd=tmp_path, **variables)
    assert (done.returncode, done.stdout) == (0, "45\n"), done.stderr
    assert not histories(tmp_path)


def test_an_impossible_value_is_an_error(main: Path, tmp_path: Path) -> None:
    for name, value, message in (
        ("PARCS_HISTORY", "no", "PARCS_HISTORY='no' is neither 'on' nor 'off'"),
        ("PARCS_UI", "yes", "PARCS_UI='yes' is neither '1' nor '0'"),
    ):
        for command in ([sys.executable, str(main)], [*COMMAND, "run", str(main.parent)]):
            env = ENVIRONMENT | {name: value}
            done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)
            assert (done.returncode, done.stderr) == (2, f"error: {message}\n")


def test_the_first_line_is_there_as_soon_as_the_file(main: Path, tmp_path: Path) -> None:
    assert execute(main, tmp_path, XDG_STATE_HOME=str(tmp_path / "state")).returncode == 0
    (path,) = histories(tmp_path)
    first = json.loads(path.read_text().split("\n")[0])
    assert first["kind"] == "ProgramStarted"
