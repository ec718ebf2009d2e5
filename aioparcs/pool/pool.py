"""Calls of functions, spread over workers."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterable, Iterable, Mapping, Sized
from functools import partial
from typing import Any, Self, SupportsIndex
from weakref import WeakSet

from aioparcs.engine import PoolState, WorkerSpec, whole_number
from aioparcs.pool.crew import Crew, Employer, Watcher
from aioparcs.pool.dispatch import Dispatch
from aioparcs.pool.results import Collection, Request, Results
from aioparcs.pool.source import Source
from aioparcs.pool.submissions import Submissions

__all__ = ["Pool"]

Items = Iterable[Any] | AsyncIterable[Any]

# Items for each worker that may be in flight, or done and not taken by whoever iterates over the results.
_AHEAD = 256
# Seconds between two reports to whoever watches.
_PERIOD = 0.1
_ids = itertools.count()


class Pool:
    """
    Workers that answer calls of one module's functions; made by ``runner.pool(...)``, used in ``async with``::

        async with runner.pool("divisors", 8) as pool:
            parts = await pool.starmap((n, a, a + 1000) for a in range(1, n, 1000))

    Items come from iterables or async iterables, and are taken only when a worker has room for one. They belong to
    the pool until their results are there: arrays and bytearrays in them must not be changed before. Each worker
    has a few calls in front of it, so that it never waits; what waits behind a slow one is given to others.

    A call that fails raises in its place: `RemoteError` for an exception of the function, `WorkerLost` for a worker
    that died of it. A worker that dies is replaced; calls that it had not begun are made by others, and the one that
    it ran is made again as often as ``retries`` says.

    Leaving its block cancels what is left, and kills the workers whose functions still run: ``break`` out of
    `imap_unordered` is "the first finder wins".
    """

    def __init__(
        self,
        employer: Employer,
        observer: Watcher,
        spec: WorkerSpec,
        size: SupportsIndex,
        *,
        function: str = "",
        retries: int = 0,
        setup: Mapping[str, Any] | None = None,
        concurrency: int = 1,
        progress: bool | str = True,
    ) -> None:
        self._size = whole_number("size", size, 1)
        self._function = _name(function)
        self._retries = whole_number("retries", retries, 0)
        concurrency = whole_number("concurrency", concurrency, 1)
        self._observer = observer
        self._make_crew = partial(
            Crew, employer, observer, spec, setup, concurrency, changed=self._report, failed=self._fail
        )
        self._is_watched = bool(progress)
        self._name = progress if isinstance(progress, str) else spec.module
        self._id = next(_ids)
        self._done = self._failures = self._total = 0
        self._is_total_known = True
        self._report_due: asyncio.TimerHandle | None = None
        self._sources: WeakSet[Source] = WeakSet()
        self._error: BaseException | None = None
        self._was_entered = self._is_open = False
        self._dispatch: Dispatch
        self._crew: Crew
        self._submissions: Submissions

    def __repr__(self) -> str:
        return f"<Pool {self._name}: {self.size} workers, {self._done} done>"

    @property
    def size(self) -> int:
        """How many workers are up."""
        return self._crew.size if self._is_open else 0

    async def __aenter__(self) -> Self:
        if self._was_entered:
            raise RuntimeError("a pool is entered once; make another one")
        self._was_entered = True
        self._loop = asyncio.get_running_loop()
        self._dispatch = Dispatch(self._retries, self._settled)
        self._crew = self._make_crew(dispatch=self._dispatch)
        self._submissions = Submissions()
        self._dispatch.add_client(self._submissions)
        self._is_open = True
        try:
            await self._crew.resize(self._size)
        except BaseException:
            await self._leave()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._leave()

    async def _leave(self) -> None:
        self._is_open = False
        self._dispatch.close()
        for source in self._sources:
            source.stop()
        try:
            await asyncio.gather(self._crew.aclose(), *(source.aclose() for source in self._sources))
        except BaseException:
            self._crew.abort()
            raise
        finally:
            self._report()

    # Calls

    async def map(self, items: Items, *, function: str = "", return_exceptions: bool = False) -> list[Any]:
        """
        Call the function with each item, and wait for all results.

        Cancelling it takes no more items, takes back the calls that have not begun, and cancels coroutine functions;
        plain functions that run go on, unheard.

        Args:
            items: an iterable, or an async one.
            function: the name of the function; by default the pool's, which is the first that the module serves.
            return_exceptions: put the exceptions of failed calls into the list.

        Returns:
            The results in the order of the items.

        Raises:
            RemoteError, WorkerLost, EncodeError, DecodeError: a call failed, the first one; the others are given up.
            StartError: no worker is left, and none can be started.
        """
        return await self._collect(items, function, spread=False, return_exceptions=return_exceptions)

    async def starmap(self, items: Items, *, function: str = "", return_exceptions: bool = False) -> list[Any]:
        """Do as `map` does, with items that are tuples of arguments."""
        return await self._collect(items, function, spread=True, return_exceptions=return_exceptions)

    def imap(self, items: Items, *, function: str = "", return_exceptions: bool = False) -> Results:
        """
        Call the function with each item, and give the results one by one, in the order of the items.

        Args:
            items: see `map`.
            function: see `map`.
            return_exceptions: give the exceptions of failed calls as results, instead of raising them.

        Returns:
            What ``async for`` iterates over.
        """
        return self._iterate(items, function, in_order=True, return_exceptions=return_exceptions)

    def imap_unordered(self, items: Items, *, function: str = "", return_exceptions: bool = False) -> Results:
        """Do as `imap` does, and give each result as soon as it is there."""
        return self._iterate(items, function, in_order=False, return_exceptions=return_exceptions)

    def submit(self, *args: Any, function: str = "", **kwargs: Any) -> asyncio.Future[Any]:
        """
        Make one call, as soon as a worker has room for it.

        Returns:
            Its future. Cancelling that takes the call back, or cancels a coroutine function; a plain function that
            has begun runs to its end, unheard.
        """
        self._check_open()
        future = self._submissions.add(_name(function) or self._function, args, kwargs)
        self._expect(1)
        self._dispatch.pump()
        return future

    async def resize(self, size: SupportsIndex) -> None:
        """
        Have more workers, or fewer, while others work; returns when the new ones are there.

        Workers that are too many finish the call that they run. Sizes that are asked for at the same time are had one
        after the other. Cancelling it kills those that were on their way; so does leaving the block, which cancels it.

        Raises:
            StartError: a new worker did not start; the pool goes on with those that it has.
        """
        self._check_open()
        await self._crew.resize(whole_number("size", size, 1))

    # Inside

    async def _collect(self, items: Items, function: str, *, spread: bool, return_exceptions: bool) -> list[Any]:
        collection = Collection(self._request(items, function, spread=spread, return_exceptions=return_exceptions))
        self._dispatch.add_client(collection)
        return await collection.collect()

    def _iterate(self, items: Items, function: str, *, in_order: bool, return_exceptions: bool) -> Results:
        request = self._request(items, function, spread=False, return_exceptions=return_exceptions)
        results = Results(request, in_order=in_order, most=lambda: _AHEAD * len(self._dispatch.members))
        self._dispatch.add_client(results)
        return results

    def _request(self, items: Items, function: str, *, spread: bool, return_exceptions: bool) -> Request:
        self._check_open()
        size = len(items) if isinstance(items, Sized) else None
        self._expect(size)
        source = Source(items, self._dispatch.pump)
        self._sources.add(source)
        return Request(
            source,
            _name(function) or self._function,
            spread,
            return_exceptions,
            self._dispatch.pump,
            self._dispatch.drop_client,
            size,
            self._forgo,
        )

    def _check_open(self) -> None:
        if not self._is_open:
            raise RuntimeError("calls are made inside the pool's block: async with runner.pool(...) as pool")
        if self._error:
            raise self._error

    def _fail(self, error: BaseException) -> None:
        """Fail everybody who waits: there are no workers, and there will be none."""
        self._error = error
        self._dispatch.fail(error)

    # Progress

    def _expect(self, count: int | None) -> None:
        if count is None:
            self._is_total_known = False
        else:
            self._total += count
        self._report_soon()

    def _forgo(self, count: int) -> None:
        self._total -= count

    def _settled(self, count: int, failures: int) -> None:
        self._done += count
        self._failures += failures
        self._crew.answered()
        self._report_soon()

    def _report_soon(self) -> None:
        if self._report_due is None and self._is_watched and self._is_open:
            self._report_due = self._loop.call_later(_PERIOD, self._report)

    def _report(self) -> None:
        if self._report_due is not None:
            self._report_due.cancel()
            self._report_due = None
        if not self._is_watched:
            return
        total = self._total if self._is_total_known else None
        running, workers, wanted = self._dispatch.running * self._is_open, self.size, self._crew.wanted
        self._observer.pooled(
            PoolState(self._id, self._name, self._done, self._failures, total, running, workers, wanted)
        )
        if running:
            self._report_soon()  # that nothing comes is news too


def _name(function: Any) -> str:
    """Refuse what is no name: functions don't travel."""
    if not isinstance(function, str):
        raise TypeError(f"function={function!r}: it is the name of a function that the module serves, a text")
    return function
