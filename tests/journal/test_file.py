"""The file of a journal: what a run that was killed leaves, damage, locks, and disks that are full."""

import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aioparcs import JournalError
from aioparcs.journal.file import Entry, JournalFile
from aioparcs.journal.records import KEY_SIZE
from aioparcs.journal.scan import HEADER
from aioparcs.journal.summary import summarize
from tests.support.waiting import PATIENCE

VALUES = [7, "seven", None, {"a": [1, (2, 3)]}, list(range(5))]


def _key(number: int) -> bytes:
    return number.to_bytes(KEY_SIZE, "big")


@contextmanager
def opened(path: Path | str) -> Iterator[JournalFile]:
    journal = JournalFile(str(path))
    try:
        yield journal
    finally:
        journal.close()


def _get(journal: JournalFile, function: int, key: bytes) -> Any:
    place = journal.places(function).get(key)
    assert place is not None
    return journal.read(place)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a journal with two functions, whose results are `VALUES`, one written after the other."""
    path = tmp_path / "run.journal"
    with opened(path) as journal:
        for function in (journal.add_function("one:f", b"1"), journal.add_function("one:f", b"2")):
            for number, value in enumerate(VALUES):
                journal.append([Entry(function, _key(number), value)])
    return path


def test_results_are_found_again(path: Path) -> None:
    with opened(path) as journal:
        assert [journal.add_function("one:f", b"2"), journal.add_function("one:f", b"1")] == [1, 0]
        assert [_get(journal, 0, _key(number)) for number in range(len(VALUES))] == VALUES
        assert journal.places(1).get(_key(99)) is None
        new = journal.add_function("one:g", b"1")
        assert (new, journal.places(new).get(_key(0))) == (2, None)


def test_large_results_are_written_from_their_own_memory(tmp_path: Path) -> None:
    array, blob = np.arange(100_000.0).reshape(100, -1), os.urandom(200_000)
    with opened(tmp_path / "j") as journal:
        function = journal.add_function("f", b"")
        journal.append([Entry(function, _key(0), array), Entry(function, _key(1), [blob, array]),
                        Entry(function, _key(2), 3)])  # fmt: skip
    with opened(tmp_path / "j") as journal:
        assert np.array_equal(_get(journal, 0, _key(0)), array)
        first, second = _get(journal, 0, _key(1))
        assert first == blob
        assert np.array_equal(second, array)
        assert _get(journal, 0, _key(2)) == 3


@pytest.mark.slow
def test_a_run_may_be_killed_at_each_byte(path: Path, tmp_path: Path) -> None:
    """What was written whole stays, the rest is cut off, and the next results are written behind it."""
    whole = path.read_bytes()
    cut = tmp_path / "cut"
    ends, kept = [1, 0], 0
    for size in range(len(whole) + 1):
        cut.write_bytes(whole[:size])
        with opened(cut) as journal:
            there = [journal.places(0).get(_key(number)) for number in range(len(VALUES))] if journal._results else []
            kept = sum(place is not None for place in there)
            assert kept in ends
            ends = [kept, kept + 1]
            assert [journal.read(place) for place in there if place is not None] == VALUES[:kept]
            assert cut.stat().st_size <= max(size, len(HEADER))
            function = journal.add_function("one:f", b"1")
            journal.append([Entry(function, _key(50), "new")])
        with opened(cut) as journal:
            assert _get(journal, 0, _key(50)) == "new"
            assert [_get(journal, 0, _key(number)) for number in range(kept)] == VALUES[:kept]
    assert kept == len(VALUES)


def test_damage_is_an_error_that_says_what_to_do(path: Path, tmp_path: Path) -> None:
    whole = path.read_bytes()
    damaged = tmp_path / "it's damaged"
    last = summarize(str(path)).functions[1].size  # an upper bound of where the last record begins, from the end
    cuts = set()
    for position in range(len(HEADER), len(whole) - last):
        data = bytearray(whole)
        data[position] ^= 0x20
        damaged.write_bytes(data)
        with pytest.raises(JournalError, match=r"damaged at byte \d+, after \d results") as caught:
            JournalFile(str(damaged))
        assert damaged.read_bytes() == data
        command = str(caught.value).partition("cut the rest off: ")[2]
        if command in cuts:
            continue
        cuts.add(command)
        assert os.system(command) == 0
        kept = int(str(caught.value).partition(", after ")[2].split()[0])
        with opened(damaged) as journal:
            assert [_get(journal, 0, _key(number)) for number in range(kept)] == VALUES[:kept]
    assert len(cuts) >= len(VALUES)


def test_what_the_disk_lost_in_a_crash_of_the_machine_is_cut_off(path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole + bytes(5000))
    with opened(path) as journal:
        assert _get(journal, 1, _key(4)) == VALUES[4]
    assert path.read_bytes() == whole
    path.write_bytes(whole[:-3] + bytes(3))  # the last record has its size, but not all of its bytes
    with opened(path) as journal:
        assert journal.places(1).get(_key(4)) is None
        assert _get(journal, 1, _key(3)) == VALUES[3]


@pytest.mark.parametrize(
    "content, reason",
    [
        (b"import asyncio\n", "this file is not a journal"),
        (b"\0" * 100, "this file is not a journal"),
        (b"aioparcs journal 2\nwhatever", "its format is 2, and this aioparcs knows format 1 only"),
        (b"aioparcs journal 17\n", "its format is 17"),
    ],
)
def test_other_files_are_left_as_they_are(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "j"
    path.write_bytes(content)
    with pytest.raises(JournalError, match=reason):
        JournalFile(str(path))
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    "make, reason",
    [
        (lambda path: path.mkdir(), "can't be opened: Is a directory"),
        (os.mkfifo, "must be a file on a disk"),
        (lambda path: path.symlink_to("/dev/null"), "must be a file on a disk"),
        (lambda path: path.symlink_to("missing/j"), "can't be opened: No such file or directory"),
    ],
    ids=["folder", "pipe", "device", "no folder"],
)
def test_what_is_no_file_is_refused(tmp_path: Path, make: Callable[[Path], object], reason: str) -> None:
    make(tmp_path / "j")
    with pytest.raises(JournalError, match=reason):
        JournalFile(str(tmp_path / "j"))


def test_one_run_at_a_time(path: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(path)
    with opened(path):
        for other in (path, tmp_path / "link"):
            with pytest.raises(JournalError, match="another pool of this program is writing it"):
                JournalFile(str(other))
        assert len(summarize(str(path)).functions) == 2  # anyone may read it
    with opened(path):
        pass


def test_the_process_that_has_it_is_named(path: Path) -> None:
    code = (
        "import fcntl, sys; f = open(sys.argv[1]); fcntl.flock(f, fcntl.LOCK_EX); print(flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"\n"
        with pytest.raises(JournalError, match=f"another run, process {other.pid}, is writing it; wait for its end"):
            JournalFile(str(path))
        other.communicate(timeout=PATIENCE)
    with opened(path):
        pass


def test_a_batch_is_written_as_a_whole_or_not_at_all(path: Path) -> None:
    """The file may not grow, as on a full disk: what was there stays, and the journal goes on when there is room."""
    size = path.stat().st_size
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    with opened(path) as journal:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 70, limit[1]))
        try:
            with pytest.raises(
                JournalError, match=r"can't be written: File too large; it keeps the results that it has"
            ):
                journal.append([Entry(0, _key(n), n) for n in range(10, 20)])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        assert path.stat().st_size == size
        assert journal.places(0).get(_key(10)) is None
        journal.append([Entry(0, _key(10), "later")])
        assert _get(journal, 0, _key(10)) == "later"
    with opened(path) as journal:
        assert _get(journal, 0, _key(10)) == "later"


def test_a_result_that_cannot_be_written_is_named(path: Path) -> None:
    with opened(path) as journal:
        with pytest.raises(JournalError, match=r"the result of item 3: \(4\) can't be written: EncodeError: "):
            journal.append([Entry(0, _key(10), 1), Entry(0, _key(11), object(), "item 3: (4)")])
        assert journal.places(0).get(_key(10)) is None


def test_a_file_that_was_removed_is_noticed(path: Path) -> None:
    with opened(path) as journal:
        journal.sync()
        path.unlink()
        with pytest.raises(JournalError, match="was removed while it was written"):
            journal.sync()


def test_a_file_that_was_changed_is_noticed(path: Path, tmp_path: Path) -> None:
    with opened(path) as journal:
        place = journal.places(0).get(_key(1))
        assert place is not None
        with path.open("r+b") as file:
            file.seek(place + 40)
            file.write(b"\xff")
        with pytest.raises(JournalError, match=f"the record at byte {place} has changed"):
            journal.read(place)
        path.write_bytes(b"")
        with pytest.raises(JournalError, match=f"the record at byte {place} has changed"):
            journal.read(place)


def test_a_summary_counts_what_is_there(path: Path, tmp_path: Path) -> None:
    summary = summarize(str(path))
    assert [(one.name, one.version, one.results) for one in summary.functions] == [
        ("one:f", b"1", len(VALUES)),
        ("one:f", b"2", len(VALUES)),
    ]
    assert summary.size == path.stat().st_size
    assert summary.unfinished == 0
    first = summary.functions[0]
    assert first.first is not None
    assert first.last is not None
    assert first.first <= first.last
    shutil.copy(path, tmp_path / "cut")
    os.truncate(tmp_path / "cut", summary.size - 5)
    cut = summarize(str(tmp_path / "cut"))
    assert cut.functions[1].results == len(VALUES) - 1
    assert cut.unfinished > 0
    (tmp_path / "empty").touch()
    assert summarize(str(tmp_path / "empty")).functions == []
    with pytest.raises(JournalError, match="can't be read: No such file"):
        summarize(str(tmp_path / "missing"))
