"""The command that shows what a journal holds."""

import json
import os
from pathlib import Path

import pytest

from aioparcs.journal.file import Entry, JournalFile
from tests.support.command import run


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a journal with results of two versions of a function."""
    path = tmp_path / "run.journal"
    journal = JournalFile(str(path))
    for version, count in ((b"\1" * 16, 2), (b"\2" * 16, 3)):
        function = journal.add_function("primes:count", version)
        journal.append([Entry(function, bytes([n] * 16), n) for n in range(count)])
    journal.add_function("primes:never", b"\3" * 16)
    journal.close()
    return path


def test_a_table_has_each_version(path: Path) -> None:
    done = run("journal", path)
    assert done.returncode == 0, done.stderr
    title, *lines = [line.split() for line in done.stdout.splitlines()]
    assert title == ["FUNCTION", "VERSION", "RESULTS", "BYTES", "FIRST", "LAST"]
    assert [line[:3] for line in lines] == [
        ["primes:count", "01010101", "2"],
        ["primes:count", "02020202", "3"],
        ["primes:never", "03030303", "0"],
    ]


@pytest.mark.slow
def test_json_has_all_of_it(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)
    done = run("journal", path, "--json")
    summary = json.loads(done.stdout)
    assert summary["journal"] == str(path)
    assert summary["bytes"] == path.stat().st_size
    assert summary["unfinished"] > 0
    assert [(one["function"], one["version"], one["results"]) for one in summary["functions"]] == [
        ("primes:count", "01" * 16, 2),
        ("primes:count", "02" * 16, 3),
    ]
    first = summary["functions"][0]
    assert first["first"] <= first["last"]
    assert first["bytes"] > 0
    assert "will be cut off" in run("journal", path).stdout


def test_errors_are_one_line(path: Path, tmp_path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[60] ^= 1
    path.write_bytes(data)
    done = run("journal", path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"error: journal {path}: it is damaged at byte ")
    assert run("journal", tmp_path / "missing").returncode == 2
