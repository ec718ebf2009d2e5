"""The pool: calls of functions, spread over workers."""

from __future__ import annotations

import asyncio
import inspect
import operator
from collections.abc import Callable
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, NoReturn, Self
from weakref import WeakSet

from aioparcs.engine import time_limit
from aioparcs.errors import fresh
from aioparcs.events import EventBus
from aioparcs.pool.calls import CallOptions, Items, P, PoolCalls
from aioparcs.pool.control import PoolControl, open_pools
from aioparcs.pool.dispatch import Dispatcher
from aioparcs.pool.observers import observers
from aioparcs.pool.options import PoolOptions, Size, optional_total, size_bounds, whole_priority
from aioparcs.pool.progress import Progress
from aioparcs.pool.results import KeyedIterator, MapCall, MapOptions, R, ResultIterator
from aioparcs.pool.scheduler import Client, Scheduler
from aioparcs.pool.sizing import Bounds, Replicas
from aioparcs.pool.source import Source
from aioparcs.pool.streams import Merge, MergedStream, StreamCall, StreamMethods, StreamOptions, Streams
from aioparcs.pool.submissions import SubmissionsByPriority
from aioparcs.pool.supervision import PoolSupervisor, WorkerProvider
from aioparcs.pool.telemetry import telemetry_of
from aioparcs.pool.trace import CallTrace
from aioparcs.qualname import missing_function, refuse_generator_function
from aioparcs.task import Stream

if TYPE_CHECKING:
    from aioparcs.pool.journaled import FunctionJournal, JournaledIterator, JournaledKeyedIterator, Journals

__all__ = ["Pool"]


class _Phase(Enum):
    """Whether calls can be made."""

    NEW = auto()
    OPEN = auto()
    CLOSED = auto()


class Pool(PoolCalls[P, R], StreamMethods[P, R]):
    """
    Workers that answer calls of functions; made by ``runner.pool(...)``, used in ``async with``::

        async with runner.pool(divisors, 8) as pool:
            parts = await pool.starmap((n, a, a + 1000) for a in range(1, n, 1000))

    Items come from iterables or async iterables. The pool takes an item only when a worker has room for it, and owns it
    until its result has arrived: arrays and bytearrays in it must not be changed before. Each worker has a few calls in
    its queue, so that it never waits; calls that wait behind a slow one go to other workers.

    A call that fails raises in its place: `RemoteError` for an exception of the function, `WorkerLost` if the worker
    died, `CallTimeout` if it took longer than ``timeout``. A worker that dies is replaced. Other workers run the calls
    that it had not begun, and the call that it ran is repeated up to ``retries`` times.

    Leaving the block cancels all pending calls, and kills the workers whose functions still run. So a ``break`` out of
    `imap_unordered` ends a search with its first result.
    """

    def __init__(self, provider: WorkerProvider, events: EventBus, options: PoolOptions) -> None:
        self._provider = provider
        self._events = events
        self._options = options
        self._phase = _Phase.NEW
        self._scheduler = Scheduler(options.retry, options.rate, options.hedge)
        self._replicas = Replicas()
        name = options.spec.module if options.name is None else options.name
        reports = None if options.name is None else events
        self._progress = Progress(reports, name, options.total, self._scheduler.status, self._replicas)
        self._sources: WeakSet[Source] = WeakSet()
        self._dispatcher: Dispatcher
        self._supervisor: PoolSupervisor
        self._control: PoolControl
        self._submissions: SubmissionsByPriority
        self._journals: Journals | None = None  # once a call has one
        self._streams: Streams

    def __repr__(self) -> str:
        return f"<Pool {self._progress.name}: {self.size} workers, {self._progress.done} done>"

    @property
    def size(self) -> int:
        """The number of workers that are up; of a pool of an elastic size it changes."""
        return self._scheduler.status.size if self._phase is _Phase.OPEN else 0

    if not TYPE_CHECKING:  # type checkers find this by themselves

        def __enter__(self) -> NoReturn:
            raise TypeError("a pool waits for its workers: async with runner.pool(...) as pool")

        __await__ = __enter__

        def __exit__(self, *_: object) -> None:
            """Do nothing: Python looks this method up before it calls ``__enter__``."""

    async def __aenter__(self) -> Self:
        if self._phase is not _Phase.NEW:
            raise RuntimeError("a pool can be entered only once; create another one")
        bounds = self._options.bounds
        if bounds is None:
            size = await self._provider.default_size(self._options.spec)
            bounds = Bounds(size, size)
        self._phase = _Phase.OPEN
        telemetry = telemetry_of(self._options.spec.module, self._progress.name)
        trace = None
        if self._events.wants_calls:
            trace = CallTrace(self._events, self._progress.id, has_tallies=telemetry is None)
        self._dispatcher = Dispatcher(self._scheduler, self._progress, observers(trace, telemetry))
        self._submissions = SubmissionsByPriority(self._dispatcher, self._progress)
        self._streams = Streams(self._dispatcher, self._options.retry, self._progress)
        self._supervisor = PoolSupervisor(
            self._provider,
            self._events,
            self._options.shared_by(bounds.most),
            self._dispatcher.workers,
            self._replicas,
            self._progress,
        )
        parts = self._progress, self._scheduler.status, self._dispatcher, self._supervisor
        self._control = PoolControl(self._provider, *parts)
        try:
            await self._supervisor.open()
            open_pools.add(self._control)
            await self._supervisor.resize(bounds)
        except BaseException:
            await self._leave(is_early=True)
            raise
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        await self._leave(is_early=kind is not None)

    async def _leave(self, *, is_early: bool) -> None:
        self._progress.stop(is_early=is_early)
        self._phase = _Phase.CLOSED
        open_pools.discard(self._control)
        self._dispatcher.close()
        for source in self._sources:
            source.stop()
        try:
            await self._streams.aclose()
            await asyncio.gather(self._supervisor.aclose(), *(source.aclose() for source in self._sources))
        except BaseException:
            self._supervisor.abort()
            raise
        finally:
            self._dispatcher.publish_trace()
            self._progress.close()
            if self._journals is not None:
                await self._journals.aclose()

    def add_client(self, client: Client) -> Callable[[], None]:
        """
        Add a source of calls, which take turns with those of the other methods: for other ways to call than these.

        Args:
            client: makes the calls and accepts their results; the pool does not keep it alive.

        Returns:
            A function to be called whenever the client has more calls.
        """
        self._check_open()
        self._dispatcher.add_client(client)
        return self._dispatcher.schedule

    async def resize(self, size: Size) -> None:
        """
        Change the number of workers while others work; return when the new ones are there.

        With a number the size is fixed from then on. With a pair, the least and the most, it is elastic: workers are
        started up to the least, and those beyond the most are ended.

        Surplus workers first finish the call that they run. Sizes that are requested at the same time are reached one
        after the other. Cancelling it kills those that were on their way; so does leaving the block, which cancels it.

        Raises:
            StartError: a new worker did not start; the pool goes on with those that it has, and its size as it was.
            TypeError, ValueError: the size is impossible.
        """
        self._check_open()
        await self._supervisor.resize(size_bounds(size))

    # Inside

    async def _collect(self, options: CallOptions) -> list[Any]:
        prepared = self._prepare(options)
        if options.journal is None:
            collection = MapCall(prepared, self._dispatcher, self._progress)
        else:
            from aioparcs.pool.journaled import JournaledMap  # few pools have a journal

            collection = journaled = JournaledMap(prepared, self._dispatcher, self._progress)
            journaled.open(self._open_journal(options.journal, prepared.function))
        self._dispatcher.add_client(collection)
        return await collection.collect()

    def _iterate(self, options: CallOptions, *, in_order: bool = True, keyed: bool = False) -> ResultIterator[Any]:
        prepared = self._prepare(options)
        results: ResultIterator[Any]
        if options.journal is None:
            kind: type[ResultIterator[Any]] = KeyedIterator if keyed else ResultIterator
            results = kind(prepared, self._dispatcher, self._progress, in_order=in_order)
        else:
            from aioparcs.pool.journaled import JournaledIterator, JournaledKeyedIterator

            journaled: JournaledIterator[Any] | JournaledKeyedIterator[Any]
            journaling = JournaledKeyedIterator if keyed else JournaledIterator
            results = journaled = journaling(prepared, self._dispatcher, self._progress, in_order=in_order)
            journaled.open(self._open_journal(options.journal, prepared.function))
        self._dispatcher.add_client(results)
        return results

    def _open_journal(self, path: Any, function: str) -> asyncio.Task[FunctionJournal]:
        if self._journals is None:
            from aioparcs.pool.journaled import Journals

            self._journals = Journals(self._dispatcher.workers, self._options, self._events)
        return self._journals.open(path, function)

    def _submit(
        self, timeout: float | None, priority: int, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> asyncio.Future[Any]:
        refuse_generator_function(function)
        name, limit = self._resolve(function, timeout)
        submissions = self._submissions
        of_priority = submissions.usual if priority == 0 else submissions.of(whole_priority(priority))
        return of_priority.add(name, args, kwargs, limit)

    def _stream(
        self, timeout: float | None, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Stream[Any]:
        return self._streams.open(StreamCall(*self._resolve(function, timeout), args, kwargs))

    def _stream_map(
        self, items: Items, function: Any, spread: bool, return_exceptions: bool, timeout: float | None
    ) -> Stream[Any]:
        name, limit = self._resolve(function, timeout)
        merge = Merge(items, StreamOptions(name, limit, spread, self._options.concurrency), self._streams)
        return MergedStream(merge, return_exceptions=return_exceptions)

    def _prepare(self, options: CallOptions) -> MapOptions:
        items, function, spread, return_exceptions, timeout, total, priority, _ = options
        refuse_generator_function(function)
        name, limit = self._resolve(function, timeout)
        size = _length(items) if total is None else optional_total(total)
        source = Source(items, self._dispatcher)
        self._sources.add(source)
        self._progress.expect(size)
        return MapOptions(source, name, spread, return_exceptions, size, limit, whole_priority(priority))

    def _resolve(self, function: Any, timeout: float | None) -> tuple[str, float | None]:
        """Return the name of the function that a call asks for, and its time limit; the pool's if it asks for none."""
        self._check_open()
        limit = self._options.timeout if timeout is None else time_limit(timeout)
        name = self._options.function_name(function)
        if not isinstance(function, str):
            if inspect.iscoroutinefunction(function):
                self._supervisor.coroutines.add(name)  # of which workers run several calls
        elif name not in self._supervisor.functions:
            self._check_served(name)
        return name, limit

    def _check_served(self, name: str) -> None:
        """Raise a LookupError for a name that no worker knows; what is in another module only workers can find."""
        if name and ":" not in name and (names := self._supervisor.functions):
            raise missing_function(name, f"by {self._options.spec.module}", sorted(names))

    def _check_open(self) -> None:
        if self._phase is not _Phase.OPEN:
            raise RuntimeError("calls are made inside the pool's block: async with runner.pool(...) as pool")
        if (error := self._dispatcher.workers.error) is not None:
            raise fresh(error)


def _name_methods() -> None:
    """Name the methods as users know them: Python's own errors and warnings say ``Pool.map``, whatever class has it."""
    for kind in (*PoolCalls.__mro__, StreamMethods):
        for name, method in vars(kind).items():
            if kind.__module__.startswith(__package__) and inspect.isfunction(method):
                method.__qualname__ = f"{Pool.__name__}.{name}"


_name_methods()


def _length(items: Items) -> int | None:
    """Return how many items there are, None if they have no length: only the progress needs it."""
    try:
        length = operator.length_hint(items, -1)
    except Exception:  # range(2**64), or an error of their own __len__
        return None
    return None if length < 0 else length
