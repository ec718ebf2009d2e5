"""A journal for programs of asyncio: its file is read and written in a thread of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from time import time
from typing import Any, NamedTuple, TypeVar

from aioparcs.errors import DecodeError, JournalError, fresh
from aioparcs.journal.file import Entry, JournalFile, Records
from aioparcs.journal.records import encode_small_results

__all__ = ["PATIENCE", "SYNC_PERIOD", "Journal", "Results"]

SYNC_PERIOD = 1.0
"""Seconds that a result waits, at most, until the disk is asked to have it."""

PATIENCE = 10.0
"""Seconds after which a disk that has not answered is reported; the program goes on waiting for it."""

T = TypeVar("T")
# A result that was read, or the error in its place.
Read = tuple[bool, Any]


class Results(NamedTuple):
    """
    Results to write.

    Attributes:
        keys: the hash of the arguments of each.
        values: what each call has returned.
        items: the calls, whose texts are for messages.
    """

    keys: list[bytes]
    values: list[Any]
    items: list[Any]


class _Reading(NamedTuple):
    """Results to read, and what gets them."""

    places: Sequence[int]
    done: Callable[[list[Read], JournalError | None], object]


class _Writing(NamedTuple):
    """Results to write, and what is called when they are written, or can't be."""

    entries: Sequence[Entry]
    encoded: Sequence[Records]
    done: Callable[[JournalError | None], object]


class Journal:
    """
    A journal that is open, from `open` to `aclose`.

    Reading and writing may wait for a disk, for seconds if that is busy or in the network, so one thread does both.
    What is requested while it is at work is done in one go: the busier the program, the larger the batches.

    Args:
        path: the file's name.
        warn: called with a sentence for the user when the disk doesn't answer.
    """

    def __init__(self, path: str, warn: Callable[[str], object]) -> None:
        self.path = path
        self._warn = warn
        self._opened: JournalFile | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="aioparcs-journal")
        self._requests: list[_Reading | _Writing] = []
        self._working: asyncio.Task[None] | None = None
        self._syncing: asyncio.TimerHandle | None = None  # while something was written that the disk may not have
        self._is_sync_due = False
        self._error: JournalError | None = None  # of the disk, which may have lost what was written before
        self._is_error_known = False
        self._is_closed = False

    async def open(self) -> None:
        """
        Open the file, and read where its results are.

        Raises:
            JournalError: see `JournalFile`.
        """
        await self._run(self._open)

    async def add_function(self, name: str, version: bytes) -> int:
        """
        Return the number of a function in this journal.

        Raises:
            JournalError: it can't be written.
        """
        return await self._run(self._file.add_function, name, version)

    def places(self, function: int) -> Mapping[bytes, int]:
        """Return where the result of each key of a function is, now and from now on."""
        return self._file.places(function)

    def read(self, places: Sequence[int], done: Callable[[list[Read], JournalError | None], object]) -> None:
        """Read results; ``done`` gets them, as many as could be read, and why the others could not."""
        self._request(_Reading(places, done))

    def write(self, function: int, results: Results, done: Callable[[JournalError | None], object]) -> None:
        """
        Write results of one function, or none; ``done`` is called when all so far are written, or gets the error.

        Small ones are encoded here: in the thread that would wait for the interpreter's lock, as this one would for it.
        """
        keys, values, items = results
        records = encode_small_results(function, time(), keys, values)
        if records is None:
            self._request(_Writing([Entry(function, *one) for one in zip(keys, values, items, strict=True)], [], done))
        else:
            self._request(_Writing([], [Records(function, keys, records)] if keys else [], done))

    async def aclose(self) -> None:
        """
        Write what was requested, wait until the disk has it, and close the file; once.

        Cancelling it still closes the file, when the disk is done.

        Raises:
            JournalError: the disk has failed.
        """
        if self._is_closed:
            return
        self._is_closed = True
        try:
            if self._working is not None:
                await asyncio.wait([self._working])
            if self._syncing is not None:
                self._syncing.cancel()
                await self._sync()
        finally:
            if self._working is not None:
                self._working.cancel()
            closed = self._thread.submit(self._close)
            self._thread.shutdown(wait=False)
            await asyncio.shield(asyncio.wrap_future(closed))
        if self._error is not None and not self._is_error_known:
            raise self._error

    # Inside

    @property
    def _file(self) -> JournalFile:
        assert self._opened is not None
        return self._opened

    def _request(self, request: _Reading | _Writing) -> None:
        self._requests.append(request)
        if self._working is None:
            self._working = asyncio.ensure_future(self._work())

    def _sync_soon(self) -> None:
        """Request a sync, once for all that is written meanwhile."""
        if self._syncing is None:
            self._syncing = asyncio.get_running_loop().call_later(SYNC_PERIOD, self._sync_now)

    def _sync_now(self) -> None:
        self._is_sync_due = True
        if self._working is None:
            self._working = asyncio.ensure_future(self._work())

    async def _work(self) -> None:
        """Perform requests, until none is left."""
        try:
            while self._requests or self._is_sync_due:
                requests, self._requests = self._requests, []
                for request in requests:
                    if isinstance(request, _Reading):
                        request.done(*await self._run(self._read, request.places))
                await self._write([one for one in requests if isinstance(one, _Writing)])
                if self._is_sync_due:
                    await self._sync()
        finally:
            self._working = None

    async def _write(self, requests: Sequence[_Writing]) -> None:
        """Write all that was requested in one go."""
        entries = [entry for one in requests for entry in one.entries]
        encoded = [records for one in requests for records in one.encoded]
        error = self._error
        if error is None:
            try:
                if entries or encoded:
                    await self._run(self._file.append, entries, encoded)
                    self._sync_soon()
            except JournalError as failure:  # no reason to stop: there may be room later
                error = failure
        self._is_error_known |= bool(requests) and self._error is not None
        for *_, done in requests:
            done(None if error is None else fresh(error))

    async def _sync(self) -> None:
        self._is_sync_due, self._syncing = False, None
        if self._error is None:
            try:
                await self._run(self._file.sync)
            except JournalError as error:
                self._error = error

    async def _run(self, work: Callable[..., T], *args: Any) -> T:
        loop = asyncio.get_running_loop()
        text = f"journal {self.path}: its disk has not answered for {PATIENCE:g} s; the pool waits for it"
        warning = loop.call_later(PATIENCE, self._warn, text)
        try:
            return await loop.run_in_executor(self._thread, work, *args)
        finally:
            warning.cancel()

    # In the thread

    def _open(self) -> None:
        self._opened = JournalFile(self.path)

    def _read(self, places: Sequence[int]) -> tuple[list[Read], JournalError | None]:
        found: list[Read] = []
        for place in places:
            try:
                found.append((True, self._file.read(place)))
            except DecodeError as error:
                found.append((False, error))
            except JournalError as error:
                return found, error
        return found, None

    def _close(self) -> None:
        if self._opened is not None:
            self._opened.close()
