"""The streams of many items as one: as many generators at once as the workers run calls, their items as they come."""

from __future__ import annotations

import asyncio
import operator
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterable, Iterator
from contextvars import copy_context
from typing import Any, NamedTuple, TypeVar

from aioparcs.channel import ONE_READER
from aioparcs.errors import BusyError, set_item
from aioparcs.pool.scheduler import not_arguments
from aioparcs.pool.streams.stream import StreamCall
from aioparcs.pool.streams.streams import Streams
from aioparcs.task import Stream

__all__ = ["Merge", "MergedStream", "StreamOptions"]

# Items that are there and not taken, besides those of each stream.
_AHEAD = 64
_NO_KEYWORDS: dict[str, Any] = {}

T_co = TypeVar("T_co", covariant=True)


class StreamOptions(NamedTuple):
    """
    The options of a `stream_map`.

    Attributes:
        function: the name of the function to call.
        limit: seconds that each item of a generator may take, None for any time.
        spread: True when an item is a tuple of arguments, or a dict of keyword arguments.
        concurrency: how many generators a worker runs at once.
    """

    function: str
    limit: float | None
    spread: bool
    concurrency: int


class MergedStream(Stream[T_co]):
    """
    The items of all generators of a `stream_map`, as they come.

    A generator that failed raises in its place; another ``async for`` over the same object goes on with the others.

    Args:
        merge: runs them.
        return_exceptions: yield the exceptions of generators as items.
    """

    def __init__(self, merge: Merge, *, return_exceptions: bool) -> None:
        super().__init__()
        self._merge = merge
        self._return_exceptions = return_exceptions

    async def __anext__(self) -> T_co:
        outcome = None if self._is_closed else await self._merge.next()
        if outcome is None:
            self._is_closed = True
            raise StopAsyncIteration
        ok, value = outcome
        if ok or (self._return_exceptions and self._merge.is_running):
            return value  # type: ignore[no-any-return]  # what a generator yields is the caller's to say
        raise value

    async def aclose(self) -> None:
        """End all generators, and wait until their ``finally`` blocks have run, for at most a second."""
        self._is_closed = True
        self._merge.cancel()
        await self._merge.wait_ended()

    def __del__(self) -> None:
        """End the generators that are not read to their ends; the collector may call this in any thread."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._merge.cancel)


class Merge:
    """
    The generators of a `MergedStream`, which it may leave behind: so this does not know it.

    Args:
        items: an iterable, or an async one.
        options: what is done with each of them.
        streams: runs the generators.
    """

    def __init__(self, items: Iterable[Any] | AsyncIterable[Any], options: StreamOptions, streams: Streams) -> None:
        self._items = _Items(items)
        self._options = options
        self._streams = streams
        self._index = -1
        self._context = copy_context()  # of its generators, also of those that are begun when workers join
        self._outcomes: deque[tuple[bool, Any]] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._reading = 0  # generators
        self._error: Exception | None = None  # of the items: raised behind those of the generators
        self._is_waiting = self._is_over = False
        self._news, self._room = asyncio.Event(), asyncio.Event()
        streams.merges.add(self)
        self.extend()

    @property
    def is_running(self) -> bool:
        """True until it is cancelled, or its pool has failed."""
        return not self._is_over

    @property
    def waiting(self) -> int | None:
        """How many workers more there is work for, None for an unknown number."""
        if self._is_over or len(self._outcomes) >= _AHEAD or self._reading < len(self._tasks):
            return 0  # its reader is the slow one, or an async iterable
        left = self._items.left
        return None if left is None else -(-left // self._options.concurrency)

    async def next(self) -> tuple[bool, Any] | None:
        """
        Return the next item, or what a generator has raised; None at the end.

        Cancelling it loses none. Raises what the iterable of the items has raised, behind all others, and once.
        """
        if self._is_waiting:
            raise BusyError(ONE_READER)
        while not self._outcomes:
            if not self._tasks:
                error, self._error = self._error, None
                if error is not None:
                    raise error
                return None
            self._news.clear()
            self._is_waiting = True
            try:
                await self._news.wait()
            finally:
                self._is_waiting = False
        outcome = self._outcomes.popleft()
        if 2 * len(self._outcomes) <= _AHEAD:
            self._room.set()
        return outcome

    def cancel(self) -> None:
        """End all generators, and forget their items."""
        self._is_over, self._error = True, None
        self._outcomes.clear()
        for task in self._tasks:
            task.cancel()
        self._news.set()

    def cut_off(self, error: BaseException) -> None:
        """End it with the pool's block, unless all of its items are there."""
        if self._tasks and not self._is_over:
            self.cancel()
            self._outcomes.append((False, error))

    async def wait_ended(self) -> None:
        """Wait until all generators have ended: none takes longer than cleaning up may."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def extend(self) -> None:
        """Start as many generators as the workers run calls: there may be more workers by now."""
        most = self._streams.size * self._options.concurrency
        while len(self._tasks) < most and not self._is_over and not self._items.is_over:
            task = self._context.run(asyncio.ensure_future, self._run())
            self._tasks.add(task)
            task.add_done_callback(self._done)

    # Inside

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not self._tasks:
            self._news.set()

    async def _run(self) -> None:
        """Run one generator after the other."""
        try:
            while (begun := await self._next_call()) is not None:
                self.extend()
                await self._read(*begun)
                if len(self._tasks) > self._streams.size * self._options.concurrency:
                    self._tasks.discard(asyncio.current_task())  # at once, so that not all of them leave
                    return
        finally:
            if self._tasks <= {asyncio.current_task()}:
                await self._items.aclose()

    async def _next_call(self) -> tuple[StreamCall, Any] | None:
        """Return what is called for the next item, and the item; None if there is none."""
        while not self._is_over:
            try:
                item = await self._items.next()
            except StopAsyncIteration:
                return None
            except Exception as error:
                self._error = error
                return None
            self._index += 1
            if (call := self._call_for(item)) is not None:
                return call, item
            await self._fail(not_arguments(self._index, item), self._index, item)
        return None

    def _call_for(self, item: Any) -> StreamCall | None:
        """Return what is called for an item, None if it holds no arguments."""
        function, limit, spread, _ = self._options
        if not spread:
            return StreamCall(function, limit, (item,), _NO_KEYWORDS, self._index)
        if isinstance(item, list | tuple):
            return StreamCall(function, limit, tuple(item), _NO_KEYWORDS, self._index)
        if isinstance(item, dict) and all(isinstance(name, str) for name in item):
            return StreamCall(function, limit, (), item, self._index)
        return None

    async def _read(self, call: StreamCall, item: Any) -> None:
        self._reading += 1
        try:
            async with self._streams.open(call) as stream:
                try:
                    async for value in stream:
                        await self._put(True, value)
                except Exception as error:
                    self._is_over = self._is_over or self._streams.has_failed
                    await self._fail(error, call.item, item)
        finally:
            self._reading -= 1

    async def _fail(self, error: Exception, index: int, item: Any) -> None:
        set_item(error, index, item)
        await self._put(False, error)

    async def _put(self, ok: bool, value: Any) -> None:
        while len(self._outcomes) >= _AHEAD:
            self._room.clear()
            await self._room.wait()
        self._outcomes.append((ok, value))
        self._news.set()


class _Items:
    """Items one by one, from an iterable of either kind, for several that take them."""

    def __init__(self, items: Iterable[Any] | AsyncIterable[Any]) -> None:
        self.is_over = False
        self._source: Iterator[Any] | AsyncIterator[Any]
        self._source = aiter(items) if isinstance(items, AsyncIterable) else iter(items)
        self._lock = asyncio.Lock()

    @property
    def left(self) -> int | None:
        """How many are left, None for an unknown number."""
        if self.is_over:
            return 0
        try:
            left = operator.length_hint(self._source, -1)
        except Exception:  # of its own code
            return None
        return None if left < 0 else left

    async def next(self) -> Any:
        """Return the next item; raise StopAsyncIteration, or what the iterable raises, at its end."""
        async with self._lock:
            if self.is_over:
                raise StopAsyncIteration
            try:
                if isinstance(self._source, AsyncIterator):
                    return await anext(self._source)
                return next(self._source)
            except StopIteration:
                self.is_over = True
                raise StopAsyncIteration from None
            except BaseException as error:
                self.is_over = not isinstance(error, asyncio.CancelledError)
                raise

    async def aclose(self) -> None:
        """Close an async generator: its ``finally`` blocks run now, not when it is collected."""
        self.is_over = True
        if isinstance(self._source, AsyncGenerator):
            await self._source.aclose()
