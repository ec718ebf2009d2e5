"""Submitted calls, each with a future of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import Any
from weakref import WeakValueDictionary

from aioparcs.errors import fresh
from aioparcs.pool.dispatch import Dispatcher
from aioparcs.pool.progress import Progress
from aioparcs.pool.scheduler import LimitedCall, Outcome, PendingCall, Supply

__all__ = ["Submissions", "SubmissionsByPriority"]


class Submissions:
    """
    Calls of one priority in the order in which they were submitted, and their futures.

    Args:
        dispatcher: makes the calls.
        progress: counts those that are cancelled.
        priority: that of the calls.

    Attributes:
        priority: that of the calls.
    """

    def __init__(self, dispatcher: Dispatcher, progress: Progress, priority: int) -> None:
        self.priority = priority
        self._dispatcher = dispatcher
        self._progress = progress
        self._futures: dict[PendingCall, asyncio.Future[Any]] = {}

    def add(
        self, function: str, args: tuple[Any, ...], kwargs: Mapping[str, Any], limit: float | None
    ) -> asyncio.Future[Any]:
        """Add a call, which may take so many seconds, and return its future."""
        call = (
            PendingCall(self, -1, function, args, kwargs)
            if limit is None
            else LimitedCall(self, -1, function, args, kwargs, limit)
        )
        future = self._futures[call] = asyncio.get_running_loop().create_future()
        future.add_done_callback(partial(self._discard, call))
        self._progress.expect(1)
        self._dispatcher.submit(call)
        return future

    @property
    def supply(self) -> Supply:
        """Whether it has more calls: it submits them itself."""
        return Supply.OVER

    @property
    def waits(self) -> str:
        """Return "": nothing is known of the program that submits calls."""
        return ""

    def take(self, most: int) -> list[PendingCall]:
        """Return none: calls are submitted one by one."""
        return []

    def settle(self, outcomes: list[Outcome]) -> None:
        """Set the results of futures, or the exceptions in their places."""
        for call, ok, value in outcomes:
            future = self._futures.pop(call, None)  # its callback then finds nothing to do
            if future is None or future.done():  # it was cancelled in this iteration of the loop
                continue
            if ok:
                future.set_result(value)
            else:
                future.set_exception(value)

    def cancel(self) -> None:
        """Cancel all pending futures."""
        for future in list(self._futures.values()):
            future.cancel()

    def fail(self, error: BaseException) -> None:
        """Set an error as the exception of all pending futures."""
        for future in list(self._futures.values()):
            if not future.done():
                future.set_exception(fresh(error))

    def _discard(self, call: PendingCall, future: asyncio.Future[Any]) -> None:
        if self._futures.pop(call, None) is not None and future.cancelled():
            self._dispatcher.cancel(call)
            self._progress.cancelled(1)


class SubmissionsByPriority:
    """
    Submitted calls of all priorities.

    Args:
        dispatcher, progress: see `Submissions`.

    Attributes:
        usual: those of priority 0.
    """

    def __init__(self, dispatcher: Dispatcher, progress: Progress) -> None:
        self.usual = Submissions(dispatcher, progress, 0)
        self._dispatcher = dispatcher
        self._progress = progress
        self._others: WeakValueDictionary[int, Submissions] = WeakValueDictionary()

    def of(self, priority: int) -> Submissions:
        """Return those of a priority other than 0, which are kept as long as one of their calls has no result."""
        submissions = self._others.get(priority)
        if submissions is None:
            submissions = self._others[priority] = Submissions(self._dispatcher, self._progress, priority)
        return submissions
