"""The items of a pool, pulled from an iterable or an async iterable."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Iterator
from itertools import islice
from typing import Any

from aioparcs.pool.dispatch import Dispatcher

__all__ = ["Source"]


class Source:
    """
    Items one by one, from an iterable of either kind, pulled only when a worker has room for one.

    Args:
        items: the iterable.
        dispatcher: is to pull when an item of an async iterable has come, or its end.

    Attributes:
        error: what the iterable raised, or None.
    """

    def __init__(self, items: Iterable[Any] | AsyncIterable[Any], dispatcher: Dispatcher) -> None:
        self.error: BaseException | None = None
        self._dispatcher = dispatcher
        self._has_ended = self._is_closed = False
        self._iterator: Iterator[Any] = iter(())
        self._buffer: deque[Any] = deque()
        self._wanted = asyncio.Event()
        self._feeding: asyncio.Task[None] | None = None
        if isinstance(items, AsyncIterable):
            self._feeding = asyncio.ensure_future(self._feed(items))
        else:
            self._iterator = iter(items)

    @property
    def is_over(self) -> bool:
        """True when no further item will come."""
        return self._has_ended and not self._buffer

    @property
    def is_waiting(self) -> bool:
        """True while an async iterable has no item; the dispatcher pulls when there is one."""
        return self._feeding is not None and self._wanted.is_set() and not self._buffer

    def pull(self, most: int) -> list[Any]:
        """Return the next items, as many as are available now."""
        items: list[Any] = []
        if self._feeding:
            self._wanted.set()
            while self._buffer and len(items) < most:
                items.append(self._buffer.popleft())
            return items
        if self._has_ended:
            return items
        try:
            for item in islice(self._iterator, most):
                items.append(item)  # not extend(): what came before an error counts
        except BaseException as error:  # of any kind: it is raised where the results are awaited
            self.error = error
        self._has_ended = len(items) < most
        return items

    def stop(self) -> None:
        """Stop pulling items."""
        self._has_ended = self._is_closed = True
        self._buffer.clear()
        if self._feeding:
            self._feeding.cancel()

    async def aclose(self) -> None:
        """Stop pulling items, and wait until an async iterable is closed."""
        self.stop()
        if self._feeding:
            await asyncio.gather(self._feeding, return_exceptions=True)

    async def _feed(self, items: AsyncIterable[Any]) -> None:
        """Fetch an item whenever one was wanted and none was there."""
        try:
            await self._wanted.wait()
            async for item in items:
                self._wanted.clear()
                self._buffer.append(item)
                self._dispatcher.schedule()
                await self._wanted.wait()
        except BaseException as error:
            if not self._is_closed:
                self.error = error
        self._has_ended = True
        if isinstance(items, AsyncGenerator):
            await items.aclose()  # its ``finally`` blocks run now, not when it is collected
        self._dispatcher.schedule()
