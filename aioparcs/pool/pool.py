"""The pool: calls of functions, spread over workers."""

from __future__ import annotations

import asyncio
import operator
from collections.abc import AsyncIterable, Iterable
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, NoReturn, Self, SupportsIndex
from weakref import WeakSet

from aioparcs.engine import whole_number
from aioparcs.errors import fresh
from aioparcs.events import EventBus
from aioparcs.pool.dispatcher import Dispatcher
from aioparcs.pool.options import PoolOptions, function_name, optional_total
from aioparcs.pool.progress import Progress
from aioparcs.pool.results import MapCall, MapOptions, ResultIterator
from aioparcs.pool.scheduler import Replicas, Scheduler
from aioparcs.pool.source import Source
from aioparcs.pool.submissions import Submissions
from aioparcs.pool.supervisor import PoolSupervisor, WorkerProvider

__all__ = ["Pool"]

Items = Iterable[Any] | AsyncIterable[Any]


class _Phase(Enum):
    """Whether calls can be made."""

    NEW = auto()
    OPEN = auto()
    CLOSED = auto()


class Pool:
    """
    Workers that answer calls of one module's functions; made by ``runner.pool(...)``, used in ``async with``::

        async with runner.pool("divisors", 8) as pool:
            parts = await pool.starmap((n, a, a + 1000) for a in range(1, n, 1000))

    Items come from iterables or async iterables. The pool takes an item only when a worker has room for it, and owns it
    until its result has arrived: arrays and bytearrays in it must not be changed before. Each worker has a few calls in
    its queue, so that it never waits; calls that wait behind a slow one go to other workers.

    A call that fails raises in its place: `RemoteError` for an exception of the function, `WorkerLost` if the worker
    died. A worker that dies is replaced. Other workers run the calls that it had not begun, and the call that it ran is
    repeated up to ``retries`` times.

    Leaving the block cancels all pending calls, and kills the workers whose functions still run. So a ``break`` out of
    `imap_unordered` ends a search with its first result.
    """

    def __init__(self, provider: WorkerProvider, events: EventBus, options: PoolOptions) -> None:
        self._provider = provider
        self._events = events
        self._options = options
        self._phase = _Phase.NEW
        self._scheduler = Scheduler(options.retries)
        self._replicas = Replicas()
        name = options.spec.module if options.name is None else options.name
        reports = None if options.name is None else events
        self._progress = Progress(reports, name, options.total, self._scheduler, self._replicas)
        self._sources: WeakSet[Source] = WeakSet()
        self._dispatcher: Dispatcher
        self._supervisor: PoolSupervisor
        self._submissions: Submissions

    def __repr__(self) -> str:
        return f"<Pool {self._progress.name}: {self.size} workers, {self._progress.done} done>"

    @property
    def size(self) -> int:
        """The number of workers that are up."""
        return self._scheduler.size if self._phase is _Phase.OPEN else 0

    if not TYPE_CHECKING:  # type checkers find this by themselves

        def __enter__(self) -> NoReturn:
            raise TypeError("a pool waits for its workers: async with runner.pool(...) as pool")

        def __exit__(self, *_: object) -> None:
            """Do nothing: Python looks this method up before it calls ``__enter__``."""

    async def __aenter__(self) -> Self:
        if self._phase is not _Phase.NEW:
            raise RuntimeError("a pool can be entered only once; create another one")
        self._phase = _Phase.OPEN
        self._dispatcher = Dispatcher(self._scheduler, self._progress)
        self._submissions = Submissions(self._dispatcher, self._progress)
        self._supervisor = PoolSupervisor(
            self._provider, self._events, self._options, self._dispatcher, self._replicas, self._progress
        )
        try:
            await self._supervisor.open()
            await self._supervisor.resize(self._options.size)
        except BaseException:
            await self._leave()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._leave()

    async def _leave(self) -> None:
        self._progress.stop()
        self._phase = _Phase.CLOSED
        self._dispatcher.close()
        for source in self._sources:
            source.stop()
        try:
            await asyncio.gather(self._supervisor.aclose(), *(source.aclose() for source in self._sources))
        except BaseException:
            self._supervisor.abort()
            raise
        finally:
            self._progress.close()

    # Calls

    async def map(
        self, items: Items, *, function: str = "", return_exceptions: bool = False, total: SupportsIndex | None = None
    ) -> list[Any]:
        """
        Call the function with each item, and wait for all results.

        Cancelling it takes no more items, takes back the calls that have not begun, and cancels coroutine functions;
        plain functions that run go on, and their results are discarded.

        Args:
            items: an iterable, or an async one.
            function: the name of the function; by default the pool's, which is the first that the module serves.
            return_exceptions: put the exceptions of failed calls into the list.
            total: how many items there are, for the progress; by default their length, if they have one.

        Returns:
            The results in the order of the items.

        Raises:
            RemoteError, WorkerLost, EncodeError, DecodeError: the error of the first failed call; the others are
                cancelled.
            StartError: no worker is left, and none can be started.
        """
        return await self._collect(self._prepare(items, function, False, return_exceptions, total))

    async def starmap(
        self, items: Items, *, function: str = "", return_exceptions: bool = False, total: SupportsIndex | None = None
    ) -> list[Any]:
        """Call the function as `map` does, with items that are tuples of arguments."""
        return await self._collect(self._prepare(items, function, True, return_exceptions, total))

    def imap(
        self, items: Items, *, function: str = "", return_exceptions: bool = False, total: SupportsIndex | None = None
    ) -> ResultIterator:
        """
        Call the function with each item, and yield the results one by one, in the order of the items.

        Args:
            items: see `map`.
            function: see `map`.
            return_exceptions: yield the exceptions of failed calls as results, instead of raising them.
            total: see `map`.

        Returns:
            An async iterator.
        """
        return self._iterate(self._prepare(items, function, False, return_exceptions, total), in_order=True)

    def istarmap(
        self, items: Items, *, function: str = "", return_exceptions: bool = False, total: SupportsIndex | None = None
    ) -> ResultIterator:
        """Call the function as `imap` does, with items that are tuples of arguments."""
        return self._iterate(self._prepare(items, function, True, return_exceptions, total), in_order=True)

    def imap_unordered(
        self, items: Items, *, function: str = "", return_exceptions: bool = False, total: SupportsIndex | None = None
    ) -> ResultIterator:
        """Call the function as `imap` does, and yield each result as soon as it is there."""
        return self._iterate(self._prepare(items, function, False, return_exceptions, total), in_order=False)

    def istarmap_unordered(
        self, items: Items, *, function: str = "", return_exceptions: bool = False, total: SupportsIndex | None = None
    ) -> ResultIterator:
        """Call the function as `imap_unordered` does, with items that are tuples of arguments."""
        return self._iterate(self._prepare(items, function, True, return_exceptions, total), in_order=False)

    def submit(self, /, *args: Any, function: str = "", **kwargs: Any) -> asyncio.Future[Any]:
        """
        Submit one call, made as soon as a worker has room for it.

        Args:
            *args: the arguments of the call.
            function: see `map`; an argument of this name must be given by its position.
            **kwargs: the keyword arguments of the call.

        Returns:
            Its future. Cancelling that takes the call back, or cancels a coroutine function; a plain function that
            has begun runs to its end, and its result is discarded.
        """
        self._check_open()
        return self._submissions.add(function_name(function) or self._options.function, args, kwargs)

    async def resize(self, size: SupportsIndex) -> None:
        """
        Change the number of workers while others work; return when the new ones are there.

        Surplus workers first finish the call that they run. Sizes that are requested at the same time are reached one
        after the other. Cancelling it kills those that were on their way; so does leaving the block, which cancels it.

        Raises:
            StartError: a new worker did not start; the pool goes on with those that it has.
        """
        self._check_open()
        await self._supervisor.resize(whole_number("size", size, 1))

    # Inside

    async def _collect(self, options: MapOptions) -> list[Any]:
        collection = MapCall(options, self._dispatcher, self._progress)
        self._dispatcher.add_client(collection)
        return await collection.collect()

    def _iterate(self, options: MapOptions, *, in_order: bool) -> ResultIterator:
        results = ResultIterator(options, self._dispatcher, self._progress, in_order=in_order)
        self._dispatcher.add_client(results)
        return results

    def _prepare(
        self, items: Items, function: str, spread: bool, return_exceptions: bool, total: SupportsIndex | None
    ) -> MapOptions:
        self._check_open()
        name = function_name(function) or self._options.function
        size = _length(items) if total is None else optional_total(total)
        source = Source(items, self._dispatcher)
        self._sources.add(source)
        self._progress.expect(size)
        return MapOptions(source, name, spread, return_exceptions, size)

    def _check_open(self) -> None:
        if self._phase is not _Phase.OPEN:
            raise RuntimeError("calls are made inside the pool's block: async with runner.pool(...) as pool")
        if self._dispatcher.error:
            raise fresh(self._dispatcher.error)


def _length(items: Items) -> int | None:
    """Return how many items there are, None if they have no length: only the progress needs it."""
    try:
        length = operator.length_hint(items, -1)
    except Exception:  # range(2**64), or an error of their own __len__
        return None
    return None if length < 0 else length
