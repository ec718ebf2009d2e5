"""Journals in an event loop: requests in batches, errors, and the end."""

import asyncio
import os
import resource
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from aioparcs import JournalError
from aioparcs.journal import KEY_SIZE, Journal, Results
from aioparcs.journal.file import JournalFile
from tests.support.waiting import until


def _key(number: int) -> bytes:
    return number.to_bytes(KEY_SIZE, "big")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return the name of a journal."""
    return tmp_path / "run.journal"


@pytest.fixture
async def journal(path: Path) -> AsyncIterator[Journal]:
    """Yield a journal that is open, with one function."""
    journal = Journal(str(path), print)
    await journal.open()
    assert await journal.add_function("f", b"1") == 0
    yield journal
    with suppress(JournalError):
        await journal.aclose()


async def _write(journal: Journal, *values: tuple[int, Any]) -> JournalError | None:
    """Write results; return the error."""
    written: asyncio.Future[JournalError | None] = asyncio.get_running_loop().create_future()
    items = [f"item {number}" for number, _ in values]
    results = Results([_key(number) for number, _ in values], [value for _, value in values], items)
    journal.write(0, results, written.set_result)
    return await written


async def test_what_is_written_is_read(journal: Journal, path: Path) -> None:
    assert await asyncio.gather(*(_write(journal, (n, n * n), (n + 100, str(n))) for n in range(50))) == [None] * 50
    places = [journal.places(0).get(_key(n)) for n in range(150)]
    assert [place is None for place in places] == [50 <= n < 100 for n in range(150)]
    found: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    journal.read([place for place in places if place is not None], lambda *answer: found.set_result(answer))
    expected = [*((True, n * n) for n in range(50)), *((True, str(n)) for n in range(50))]
    assert await found == (expected, None)
    await journal.aclose()
    JournalFile(str(path)).close()  # nothing has it open


async def test_a_batch_that_fails_does_not_stop_the_next(journal: Journal) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1, limits[1]))
    try:
        errors = await asyncio.gather(*(_write(journal, (n, n)) for n in range(5)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert all("File too large" in str(error) for error in errors)
    assert "the result of item 6 can't be written" in str(await _write(journal, (6, object())))
    assert await _write(journal, (1, "one")) is None
    assert journal.places(0).get(_key(0)) is None


@pytest.mark.slow
async def test_a_file_that_was_removed_is_noticed_within_a_second(journal: Journal, path: Path) -> None:
    assert await _write(journal, (1, 1)) is None
    os.unlink(path)
    errors: list[JournalError | None] = [None]

    def has_failed() -> bool:
        if errors[-1] is None:
            journal.write(0, Results([_key(2)], [2], [2]), errors.append)
        return errors[-1] is not None

    await until(has_failed, pause=0.01)
    assert "was removed while it was written" in str(errors[-1])
    await journal.aclose()  # the error is known


async def test_an_error_that_nothing_else_would_raise_is_raised_at_the_end(journal: Journal, path: Path) -> None:
    assert await _write(journal, (1, 1)) is None
    os.unlink(path)
    with pytest.raises(JournalError, match="was removed while it was written"):
        await journal.aclose()


async def test_what_was_requested_is_written_before_the_end(journal: Journal, path: Path) -> None:
    written: list[JournalError | None] = []
    for n in range(100):
        journal.write(0, Results([_key(n)], [n], [n]), written.append)
    await journal.aclose()
    assert written == [None] * 100
    file = JournalFile(str(path))
    assert all(_key(n) in file.places(0) for n in range(100))
    file.close()


async def test_a_cancelled_opening_leaves_nothing_open(path: Path) -> None:
    journal = Journal(str(path), print)
    opening = asyncio.ensure_future(journal.open())
    await asyncio.sleep(0)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    await journal.aclose()
    JournalFile(str(path)).close()


async def test_a_cancelled_end_still_closes_the_file(journal: Journal, path: Path) -> None:
    journal.write(0, Results([_key(1)], [b"x" * 10_000_000], [1]), lambda _: None)
    closing = asyncio.ensure_future(journal.aclose())
    await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing

    def can_be_opened() -> bool:
        try:
            JournalFile(str(path)).close()
        except JournalError:
            return False
        return True

    await until(can_be_opened)
