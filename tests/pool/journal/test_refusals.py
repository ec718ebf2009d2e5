"""Journals that can't be used, or can't be written: errors that say so, and what is kept."""

import asyncio
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from aioparcs import EncodeError, JournalError, Runner, StartError
from aioparcs.journal import summarize
from aioparcs.pool import ResultIterator
from tests.pool.journal.work import WORK, counts, once
from tests.support import reference_service
from tests.support.jobs import EventRecorder, job, module
from tests.support.waiting import until

pytestmark = pytest.mark.one_loop


async def _until_error(results: ResultIterator) -> tuple[list[Any], JournalError]:
    """Return the results up to an error, and that."""
    received: list[Any] = []
    try:
        async for result in results:
            received.append(result)  # what came before the error counts
    except JournalError as error:
        return received, error
    raise AssertionError("there was no error")


async def test_one_run_at_a_time(runner: Runner, calls: str, journal: Path) -> None:
    items = [(calls, n) for n in range(3)]
    async with runner.pool("work", 1) as pool, runner.pool("work", 1) as other:
        await pool.starmap(items, journal=journal)
        with pytest.raises(JournalError, match="another pool of this program is writing it; wait for its end"):
            await other.starmap(items, journal=journal)
        results = other.istarmap(items, journal=journal)
        for _ in range(2):
            with pytest.raises(JournalError, match="another pool of this program"):
                await anext(results)
        assert await other.starmap(items) == [2, 2, 2]
    async with runner.pool("work", 1) as pool:
        assert await pool.starmap(items, journal=journal) == [1, 1, 1]


LEASE = """
import fcntl, os, signal, sys
fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
signal.signal(signal.SIGIO, lambda *_: print("asked", flush=True))
fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_WRLCK)
print("leased", flush=True)
sys.stdin.read()
"""


async def test_a_disk_that_does_not_answer_is_reported(
    tmp_path: Path, calls: str, journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aioparcs.journal.journal.PATIENCE", 0.05)
    recorder = EventRecorder()
    command = (sys.executable, "-c", LEASE, str(journal))
    async with job(module(tmp_path, "work", WORK), recorder=recorder) as runner, runner.pool("work", 1) as pool:
        # While another process has a lease on a file, opening it waits in the kernel, as for a disk.
        other = await asyncio.create_subprocess_exec(*command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert other.stdin is not None
        assert other.stdout is not None
        assert await other.stdout.readline() == b"leased\n"
        mapping = asyncio.ensure_future(pool.starmap([(calls, 1)], journal=journal))
        assert await other.stdout.readline() == b"asked\n"
        await until(lambda: recorder.notes)
        assert recorder.notes == [f"journal {journal}: its disk has not answered for 0.05 s; the pool waits for it"]
        assert await pool.submit(calls, 2) == 1, "other calls go on"
        other.stdin.close()
        assert await mapping == [1]
        assert await other.wait() == 0


async def test_a_file_that_is_no_journal_is_left_alone(runner: Runner, calls: str, tmp_path: Path) -> None:
    file = tmp_path / "thesis.txt"
    file.write_text("Chapter 1")
    async with runner.pool("work", 1) as pool:
        with pytest.raises(JournalError, match="this file is not a journal of aioparcs") as caught:
            await pool.starmap([(calls, 1)], journal=file)
        assert caught.value.path == str(file)
        file.rename(tmp_path / "elsewhere.txt")
        assert await pool.starmap([(calls, 1)], journal=file) == [1]
        with pytest.raises(TypeError, match="journal=3: it must be the name of a file"):
            await pool.starmap([(calls, 1)], journal=3)  # type: ignore[call-overload]  # on purpose
        with pytest.raises(TypeError, match="journal=3: it must be the name of a file"):
            pool.istarmap([(calls, 1)], journal=3)  # type: ignore[call-overload]  # on purpose
    assert (tmp_path / "elsewhere.txt").read_text() == "Chapter 1"


@pytest.mark.slow
async def test_a_full_disk_ends_the_map_and_loses_nothing_that_was_written(
    runner: Runner, calls: str, journal: Path
) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    items = [(calls, n) for n in range(2000)]
    async with runner.pool("work", 2, function="scale") as pool:
        assert await pool.starmap(items[:10], journal=journal) == list(range(10))
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
        try:
            with pytest.raises(JournalError, match="can't be written: File too large"):
                await pool.starmap(items, journal=journal)
            received, error = await _until_error(pool.istarmap_unordered(items, journal=journal))
            assert "can't be written: File too large" in str(error)
            assert len(set(received)) == len(received) >= 10
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        before = counts(calls)
        there = summarize(str(journal)).functions[0].results
        assert await pool.starmap(items, journal=journal) == list(range(2000))
        after = counts(calls)
    # More, if what was on its way then was written before it was called again.
    assert sum(after[name] == before.get(name) for name in after) >= there


async def test_items_that_cannot_be_sent_fail_at_their_places(runner: Runner, calls: str, journal: Path) -> None:
    items: list[Any] = [(calls, 0), (calls, object()), 5, (calls, 1)]
    async with runner.pool("work", 1, function="scale") as pool:
        for _ in range(2):
            results = await pool.starmap(items, journal=journal, return_exceptions=True)
            assert [type(result) for result in results] == [int, EncodeError, EncodeError, int]
    assert counts(calls) == once(range(2))


async def test_a_function_that_is_not_served_is_named(runner: Runner, journal: Path) -> None:
    async with runner.pool("crunch", 1) as pool:
        with pytest.raises(LookupError, match="no function 'squaer' is served by crunch"):
            await pool.map([1], function="squaer", journal=journal)


async def test_workers_that_know_no_versions_are_refused(tmp_path: Path, journal: Path) -> None:
    folder = module(tmp_path, "reference", Path(reference_service.__file__).read_text())  # noqa: ASYNC240  # quick
    async with job(folder) as runner, runner.pool("reference", 1, function="add") as pool:
        with pytest.raises(JournalError, match=r"reference:0 can't tell which version of add it has; LookupError"):
            await pool.starmap([(1, 2)], journal=journal)
        assert await pool.starmap([(1, 2)]) == [3]


async def test_functions_without_source_are_refused(tmp_path: Path, journal: Path) -> None:
    text = "import os\nfrom helper import f\nfrom aioparcs import serve\nos.unlink('helper.py')\nserve(f)\n"
    folder = module(tmp_path, "lost", text)
    (folder / "lost" / "helper.py").write_text("def f(n):\n    return n\n")
    async with job(folder) as runner, runner.pool("lost", 1) as pool:
        with pytest.raises(
            JournalError, match=r"its function it has; LookupError: the source of helper, .* can't be read"
        ):
            await pool.map([1], journal=journal)


async def test_a_pool_that_has_failed_raises_its_reason(runner: Runner, journal: Path) -> None:
    async with runner.pool("crunch", 1, function="leave") as pool:
        pool._dispatcher.workers.fail(StartError("crunch", "no worker is left"))
        with pytest.raises(StartError, match="no worker is left"):
            await pool.map([1], journal=journal)
