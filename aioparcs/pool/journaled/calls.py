"""The calls for many items whose results a journal keeps: what is there is not called again."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from hashlib import blake2b
from typing import Any

from aioparcs import codec
from aioparcs.errors import EncodeError, JournalError, add_note, fresh
from aioparcs.journal import KEY_SIZE, Results
from aioparcs.pool.journaled.journals import FunctionJournal
from aioparcs.pool.results import KeyedIterator, MapBase, MapCall, R, ResultIterator
from aioparcs.pool.scheduler import Outcome, PendingCall, Supply

__all__ = ["JournaledIterator", "JournaledKeyedIterator", "JournaledMap"]

# Items that are looked up before other things get their turn.
_AT_ONCE = 256


class _Journaled(MapBase):
    """
    Calls whose results are in a journal, or get there.

    A result is given to the program when it is written: what the program has seen is there after its end. Equal items
    are told apart by how many there were before, so a function that returns something else each time is called for
    each of them.
    """

    def open(self, opening: asyncio.Task[FunctionJournal]) -> None:
        """Begin when the journal is open; see `Journals.open`."""
        self._journal: FunctionJournal | None = None
        self._counts: dict[bytes, int] = {}  # how many equal items there were
        self._keys: dict[int, bytes] = {}  # of calls whose results are to be written, by the number of their item
        opening.add_done_callback(self._opened)

    def take(self, most: int) -> list[PendingCall]:
        """Return the next calls to make, as many as are available now."""
        calls: list[PendingCall] = []
        if self._journal is None:
            return calls
        begin = self._taken
        while len(calls) < most and self._taken - begin < _AT_ONCE:
            before = self._taken
            calls += self._missing(super().take(most - len(calls)))
            if self._taken == before:
                return calls
        if len(calls) < most and self.supply is Supply.MORE:
            asyncio.get_running_loop().call_soon(self._dispatcher.schedule)
        return calls

    def settle(self, outcomes: list[Outcome]) -> None:
        """Accept results when they are written; exceptions too, so that what came before them is there."""
        assert self._journal is not None
        (journal, function), pop = self._journal, self._keys.pop
        results = keys, values, calls = Results([], [], [])
        for call, ok, value in outcomes:
            key = pop(call.index, None)
            if ok and key is not None:
                keys.append(key)
                values.append(value)
                calls.append(call)
        journal.write(function, results, partial(self._written, outcomes))

    # Inside

    def _opened(self, opening: asyncio.Task[FunctionJournal]) -> None:
        if opening.cancelled():
            self.cancel()
        elif error := opening.exception():
            self.fail(fresh(error))
        else:
            self._journal = opening.result()
            self._dispatcher.schedule()

    def _missing(self, calls: list[PendingCall]) -> list[PendingCall]:
        """Return the calls whose results are not in the journal, and request those of the others."""
        assert self._journal is not None
        journal, function = self._journal
        known, keys = journal.places(function), self._keys
        missing: list[PendingCall] = []
        found: list[PendingCall] = []
        places: list[int] = []
        for call in calls:
            key = self._key(call)
            if key in known:
                found.append(call)
                places.append(known[key])
                continue
            if key:
                keys[call.index] = key
            missing.append(call)
        if found:
            journal.read(places, partial(self._found, found))
        return missing

    def _key(self, call: PendingCall) -> bytes:
        """Return the key of the next call; b"" for one that can't be sent, and fails."""
        try:
            digest = codec.digest_arguments(*call.arguments)
        except EncodeError:
            return b""
        counts = self._counts
        if digest not in counts:
            counts[digest] = 1
            return digest
        count = counts[digest] = counts[digest] + 1
        return blake2b(b"%b%d" % (digest, count), digest_size=KEY_SIZE).digest()

    def _found(self, calls: Sequence[PendingCall], results: list[tuple[bool, Any]], error: JournalError | None) -> None:
        outcomes = [(call, ok, value) for call, (ok, value) in zip(calls, results, strict=False)]
        failures = [(call, value) for call, ok, value in outcomes if not ok]
        for call, failure in failures:
            add_note(failure, str(call))
        super().settle(outcomes)
        self._progress.settled(len(outcomes), len(failures))
        if error is not None:
            self.fail(error)

    def _written(self, outcomes: list[Outcome], error: JournalError | None) -> None:
        super().settle(outcomes)
        if error is not None:
            self.fail(error)


class JournaledMap(_Journaled, MapCall):
    """The results of many calls, all together."""


class JournaledIterator(_Journaled, ResultIterator[R]):
    """The results of many calls, one by one."""


class JournaledKeyedIterator(_Journaled, KeyedIterator[R]):
    """The results of many calls as they come, each with the index of its item."""
