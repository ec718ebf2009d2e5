"""The results of one ``map`` or ``imap``, in the order of the items or as they come."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from aioparcs.errors import BusyError
from aioparcs.pool.call import Client, PendingCall, safe_repr
from aioparcs.pool.source import Source

__all__ = ["MapCall", "MapOptions", "ResultIterator"]

_NO_KEYWORDS: dict[str, Any] = {}


class MapOptions(NamedTuple):
    """
    The options of one ``map`` or ``imap``: its items, the function, and what to call back.

    Attributes:
        source: where the items come from.
        function: the name of the function to call.
        spread: True when an item is a tuple of arguments, False when it is the one argument.
        return_exceptions: return the exceptions of failed calls as results.
        more: to be called when more items may be taken.
        drop: to be called with a client that wants no more results.
        size: how many items there are, if that is known.
        forgo: to be called with how many of them will have no result.
    """

    source: Source
    function: str
    spread: bool
    return_exceptions: bool
    more: Callable[[], None]
    drop: Callable[[Client], None]
    size: int | None
    forgo: Callable[[int], None]


class _MapBase(ABC):
    """The calls for the items of a source, and the coroutine that waits for their results."""

    def __init__(self, request: MapOptions) -> None:
        self._request = request
        self._source = request.source
        self._expected = request.size
        self._taken = self._settled = 0
        self._ready: dict[int, tuple[bool, Any]] = {}  # in the order in which they came
        self._waiter: asyncio.Future[None] | None = None
        self._is_cancelled = False
        self._is_closed = False
        self._error: BaseException | None = None

    @property
    def is_over(self) -> bool:
        """True when no further result will come."""
        return self._is_cancelled or bool(self._error) or (self._source.is_over and self._settled == self._taken)

    def take(self, most: int) -> list[PendingCall]:
        """Return the next calls to make, as many as are available now."""
        if self._is_cancelled or self._error:
            return []
        items = self._source.pull(most)
        index, function = self._taken, self._request.function
        self._taken += len(items)
        if len(items) < most and self.is_over:
            self.wake()
        if self._request.spread:
            works = [PendingCall(self, i, function, item, _NO_KEYWORDS) for i, item in enumerate(items, index)]
            return works if all(isinstance(item, list | tuple) for item in items) else self._sort_out(works)
        return [PendingCall(self, i, function, (item,), _NO_KEYWORDS) for i, item in enumerate(items, index)]

    @abstractmethod
    def settle(self, work: PendingCall, ok: bool, value: Any) -> None:
        """Accept a result, or the exception in its place."""

    def cancel(self) -> None:
        """Cancel the wait for results: no more items are taken, and results on their way are forgotten."""
        self._is_cancelled = True
        self._ready.clear()
        self._forgo()
        self.wake()

    def fail(self, error: BaseException) -> None:
        """Raise an error once the results that are there have been taken: no further one will come."""
        self._error = error
        self.wake()

    async def aclose(self) -> None:
        """Stop: no more items are taken, and results still on their way are forgotten when they come."""
        self._is_closed = True
        self.cancel()
        self._request.drop(self)
        await self._source.aclose()

    def __del__(self) -> None:
        self._source.stop()
        self._forgo()

    def _forgo(self) -> None:
        """Report how many of the expected items will have no result."""
        if self._expected is not None:
            self._request.forgo(self._expected - self._settled)
            self._expected = None

    def _sort_out(self, works: list[PendingCall]) -> list[PendingCall]:
        """Return the calls whose item is a tuple, and fail the others."""
        good: list[PendingCall] = []
        for work in works:
            if isinstance(work.args, list | tuple):
                good.append(work)
                continue
            error = TypeError(f"item {work.index} must be a tuple of arguments, not {safe_repr(work.args)}")
            self.settle(work, False, error)
        self.wake()
        return good

    async def _wait(self, is_due: Callable[[], bool]) -> None:
        """Wait until `wake` is called; cancelling it loses nothing."""
        if self._waiter is not None:
            raise BusyError("another coroutine is waiting for these results")
        self._request.more()  # perhaps nothing was asked of the source yet
        if is_due():
            return
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def wake(self) -> None:
        """Wake the coroutine that waits for results."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _last_error(self) -> BaseException | None:
        """Return why there are no more results: an error of the pool each time, one of the source once."""
        error, self._source.error = self._source.error, None
        return self._error or error

    def _check_not_cancelled(self) -> None:
        if self._is_cancelled:
            raise asyncio.CancelledError("the pool's block was left")


class ResultIterator(_MapBase):
    """
    The results of many calls, one by one: ``async for result in results``.

    A call that failed raises in its place; another ``async for`` over the same object goes on behind it. Items are
    taken as results are: those that are in flight, or done and not taken yet, are bounded. Cancelling the wait for a
    result loses none.

    Args:
        request: what is done with each item.
        in_order: True for results in the order of the items, False for results as they come.
        most: returns how many items may be on their way, or done and not taken.
    """

    def __init__(self, request: MapOptions, *, in_order: bool, most: Callable[[], int]) -> None:
        super().__init__(request)
        self._in_order = in_order
        self._most = most
        self._given = 0
        self._is_held_up = False

    def take(self, most: int) -> list[PendingCall]:
        """Return the next calls to make, as many as are available now."""
        room = self._most() - (self._taken - self._given)
        self._is_held_up = room < most
        return super().take(min(room, most)) if room > 0 else []

    def settle(self, work: PendingCall, ok: bool, value: Any) -> None:
        """Accept a result, or the exception in its place."""
        self._settled += 1
        if not self._is_cancelled:
            self._ready[work.index] = (ok, value)

    def wake(self) -> None:
        """Wake the coroutine that waits for results."""
        if self._waiter is not None and self._is_due():
            super().wake()

    if not TYPE_CHECKING:  # type checkers find this by themselves

        def __iter__(self) -> NoReturn:
            raise TypeError("results come one by one as workers make them: async for result in pool.imap(...)")

    def __aiter__(self) -> ResultIterator:
        return self

    async def __anext__(self) -> Any:
        while not self._has_result():
            if self._is_closed:
                raise StopAsyncIteration
            self._check_not_cancelled()
            if self.is_over:
                raise self._last_error() or StopAsyncIteration
            await self._wait(self._is_due)
        ok, value = self._pop()
        if ok or self._request.return_exceptions:
            return value
        raise value

    def _has_result(self) -> bool:
        return self._given in self._ready if self._in_order else bool(self._ready)

    def _is_due(self) -> bool:
        return self._has_result() or self.is_over

    def _pop(self) -> tuple[bool, Any]:
        outcome = self._ready.pop(self._given if self._in_order else next(iter(self._ready)))
        self._given += 1
        if self._is_held_up and 2 * (self._taken - self._given) <= self._most():  # not for each: in batches it is cheap
            self._is_held_up = False
            self._request.more()
        return outcome


class MapCall(_MapBase):
    """The results of many calls, all together."""

    _error_of_call: BaseException | None = None

    def settle(self, work: PendingCall, ok: bool, value: Any) -> None:
        """Accept a result, or the exception in its place."""
        self._settled += 1
        if self._is_cancelled:
            return
        self._ready[work.index] = (ok, value)
        if self._error_of_call is None and not ok and not self._request.return_exceptions:
            self._error_of_call = value

    def wake(self) -> None:
        """Wake the coroutine that waits for results."""
        if self._error_of_call is not None or self.is_over:
            super().wake()

    async def collect(self) -> list[Any]:
        """Wait for all results, in the order of the items, or for the first failure, which ends it."""
        try:
            while not self._is_due():
                await self._wait(self._is_due)
            self._check_not_cancelled()
            error = self._error_of_call or self._last_error()
            if error is not None:
                raise error
            return [self._ready[index][1] for index in range(self._taken)]
        finally:
            await self.aclose()

    def _is_due(self) -> bool:
        return self._error_of_call is not None or self.is_over
