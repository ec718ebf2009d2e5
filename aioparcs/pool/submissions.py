"""Submitted calls, each with a future of its own."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from aioparcs.pool.call import PendingCall, take_wanted

__all__ = ["Submissions"]


class Submissions:
    """
    Calls in the order in which they were submitted, and their futures.

    Args:
        cancelled: called with how many calls were cancelled, and will have no result.
    """

    is_over = False

    def __init__(self, cancelled: Callable[[int], None]) -> None:
        self._cancelled = cancelled
        self._queue: deque[PendingCall] = deque()
        self._futures: dict[PendingCall, asyncio.Future[Any]] = {}
        self._count = 0

    def add(self, function: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> asyncio.Future[Any]:
        """Add a call, and return its future."""
        work = PendingCall(self, self._count, function, args, kwargs)
        self._count += 1
        future = self._futures[work] = asyncio.get_running_loop().create_future()
        future.add_done_callback(partial(self._forget, work))
        self._queue.append(work)
        return future

    def take(self, most: int) -> list[PendingCall]:
        """Return the next calls to make, as many as are available now."""
        return take_wanted(self._queue, most)

    def settle(self, work: PendingCall, ok: bool, value: Any) -> None:
        """Set a future's result, or the exception in its place."""
        future = self._futures.pop(work, None)  # its callback then finds nothing to do
        if future is None or future.done():  # it was cancelled in this iteration of the loop
            return
        if ok:
            future.set_result(value)
        else:
            future.set_exception(value)

    def wake(self) -> None:
        """Do nothing: futures wake the coroutines that await them."""

    def cancel(self) -> None:
        """Cancel all pending futures."""
        for future in list(self._futures.values()):
            future.cancel()

    def fail(self, error: BaseException) -> None:
        """Set an error as the exception of all pending futures."""
        for future in list(self._futures.values()):
            if not future.done():
                future.set_exception(error)

    def _forget(self, work: PendingCall, future: asyncio.Future[Any]) -> None:
        if self._futures.pop(work, None) is not None and future.cancelled():
            work.cancel()
            self._cancelled(1)
