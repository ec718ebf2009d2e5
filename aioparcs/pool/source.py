"""Where the items of a pool come from."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterable, Callable, Iterable, Iterator
from typing import Any

__all__ = ["Source"]


class Source:
    """
    Items one by one, from an iterable of either kind, pulled only when a worker has room for one.

    Args:
        items: the iterable.
        news: called when an item of an async iterable has come, or its end.

    Attributes:
        error: what the iterable raised, or None.
    """

    def __init__(self, items: Iterable[Any] | AsyncIterable[Any], news: Callable[[], None]) -> None:
        self.error: Exception | None = None
        self._news = news
        self._has_ended = False
        self._iterator: Iterator[Any] = iter(())
        self._stock: deque[Any] = deque()
        self._wanted = asyncio.Event()
        self._feeding: asyncio.Task[None] | None = None
        if isinstance(items, AsyncIterable):
            self._feeding = asyncio.ensure_future(self._feed(items))
        else:
            self._iterator = iter(items)

    @property
    def is_over(self) -> bool:
        """True when no further item will come."""
        return self._has_ended and not self._stock

    def pull(self) -> tuple[Any] | None:
        """Give the next item, in a tuple of one; None when there is none, or none yet."""
        if self._feeding:
            self._wanted.set()
            return (self._stock.popleft(),) if self._stock else None
        if self._has_ended:
            return None
        try:
            return (next(self._iterator),)
        except StopIteration:
            pass
        except Exception as error:
            self.error = error
        self._has_ended = True
        return None

    async def aclose(self) -> None:
        """Pull no more."""
        self._has_ended = True
        self._stock.clear()
        if self._feeding:
            self._feeding.cancel()
            await asyncio.gather(self._feeding, return_exceptions=True)

    async def _feed(self, items: AsyncIterable[Any]) -> None:
        """Fetch an item whenever one was wanted and none was there."""
        try:
            await self._wanted.wait()
            async for item in items:
                self._wanted.clear()
                self._stock.append(item)
                self._news()
                await self._wanted.wait()
        except Exception as error:
            self.error = error
        self._has_ended = True
        self._news()
