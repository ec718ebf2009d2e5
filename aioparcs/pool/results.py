"""The results of one ``map`` or ``imap``, in the order of the items or as they come."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, NoReturn, Self

from aioparcs.errors import BusyError, fresh, set_item
from aioparcs.pool.dispatch import Dispatcher
from aioparcs.pool.progress import Progress
from aioparcs.pool.scheduler import LimitedCall, Outcome, PendingCall, Supply, not_arguments
from aioparcs.pool.source import Source

if TYPE_CHECKING:  # with a default, which typing itself has from Python 3.13 on
    from typing_extensions import TypeVar

    R = TypeVar("R", default=Any)
else:
    from typing import TypeVar

    R = TypeVar("R")

__all__ = ["KeyedIterator", "MapBase", "MapCall", "MapOptions", "R", "ResultIterator"]

_NO_KEYWORDS: dict[str, Any] = {}
# Items for each worker that may be in flight, or done and not taken by the loop over the results.
_AHEAD = 256


class MapOptions(NamedTuple):
    """
    The options of one ``map`` or ``imap``.

    Attributes:
        source: where the items come from.
        function: the name of the function to call.
        spread: True when an item is a tuple or a dict of arguments, False when it is the one argument.
        return_exceptions: return the exceptions of failed calls as results.
        size: how many items there are, None if that is not known.
        limit: seconds that each call may take in its worker, None for any time.
        priority: that of the calls.
    """

    source: Source
    function: str
    spread: bool
    return_exceptions: bool
    size: int | None
    limit: float | None
    priority: int


class MapBase(ABC):
    """
    The calls for the items of a source, and the coroutine that waits for their results.

    Args:
        options: what is done with each item.
        dispatcher: makes the calls.
        progress: counts those that are expected.

    Attributes:
        priority: that of the calls.
    """

    def __init__(self, options: MapOptions, dispatcher: Dispatcher, progress: Progress) -> None:
        self.priority = options.priority
        self._options = options
        self._dispatcher = dispatcher
        self._progress = progress
        self._source = options.source
        self._expected = options.size
        self._taken = self._settled = 0
        self._ready: dict[int, tuple[bool, Any]] = {}  # in the order in which they came
        self._waiter: asyncio.Future[None] | None = None
        self._is_cancelled = False
        self._is_closed = False
        self._error: BaseException | None = None  # of the pool
        self._failure: BaseException | None = None  # the first of a call

    @property
    def is_over(self) -> bool:
        """True when no further result will come."""
        return self._is_cancelled or bool(self._error) or (self._source.is_over and self._settled == self._taken)

    @property
    def supply(self) -> Supply:
        """Whether it has more calls."""
        if self._source.is_over or self._is_cancelled or self._error:
            return Supply.OVER if self.is_over else Supply.EXHAUSTED
        return Supply.EXHAUSTED if self._source.is_waiting else Supply.MORE

    @property
    def waits(self) -> str:
        """What it waits for until it has more calls, as text for people; "" for nothing."""
        return "waits for items of its iterable" if self._source.is_waiting else ""

    def take(self, most: int) -> list[PendingCall]:
        """Return the next calls to make, as many as are available now."""
        if self._is_cancelled or self._error:
            return []
        items = self._source.pull(most)
        index = self._taken
        self._taken += len(items)
        if len(items) < most and self.is_over:
            self.wake()
        if self._options.spread and not all(isinstance(item, list | tuple) for item in items):
            return self._sort_out(index, items)
        return self._make_calls(index, items)

    def settle(self, outcomes: list[Outcome]) -> None:
        """Accept results, or the exceptions in their places, and wake the coroutine that waits for them."""
        self._settled += len(outcomes)
        if not self._is_cancelled:
            ready = self._ready
            for call, ok, value in outcomes:
                ready[call.index] = (ok, value)
                if not ok:
                    self._fail_call(call, value)
        self.wake()

    def _fail_call(self, call: PendingCall, error: BaseException) -> None:
        args, kwargs = call.arguments
        item = kwargs if kwargs is not _NO_KEYWORDS else args if self._options.spread else args[0]
        set_item(error, call.index, item)
        if self._failure is None:
            self._failure = error

    def cancel(self) -> None:
        """Cancel the wait for results, unless all of them are there."""
        if not self.is_over:
            self._abandon()

    def _abandon(self) -> None:
        """Stop taking items, and forget the results that are there or on their way."""
        self._is_cancelled = True
        self._ready.clear()
        self._drop_expected()
        self.wake()

    def fail(self, error: BaseException) -> None:
        """Raise an error once the results that are there have been taken: no further one will come."""
        self._error = error
        self.wake()

    async def aclose(self) -> None:
        """Stop: no more items are taken, and results still on their way are forgotten when they come."""
        self._is_closed = True
        self._abandon()
        self._dispatcher.drop_client(self)
        await self._source.aclose()

    def __del__(self) -> None:
        self._source.stop()
        self._drop_expected()

    def _drop_expected(self) -> None:
        """Report how many of the expected items will have no result."""
        if self._expected is not None:
            is_early = not (self._source.is_over and self._settled == self._taken)
            self._progress.drop_expected(self._expected - self._settled, is_early=is_early)
            self._expected = None

    def _sort_out(self, index: int, items: list[Any]) -> list[PendingCall]:
        """Return the calls for the items that are arguments, and fail the others."""
        good: list[PendingCall] = []
        bad: list[Outcome] = []
        for i, item in enumerate(items, index):
            if isinstance(item, list | tuple):
                good += self._make_calls(i, [item])
            elif isinstance(item, dict) and all(isinstance(name, str) for name in item):
                good.append(self._make_keyword_call(i, item))
            else:
                call = PendingCall(self, i, self._options.function, item, _NO_KEYWORDS)
                bad.append((call, False, not_arguments(i, item)))
        self.settle(bad)
        return good

    def _make_keyword_call(self, index: int, kwargs: dict[str, Any]) -> PendingCall:
        function, limit = self._options.function, self._options.limit
        if limit is None:
            return PendingCall(self, index, function, (), kwargs)
        return LimitedCall(self, index, function, (), kwargs, limit)

    def _make_calls(self, index: int, items: list[Any]) -> list[PendingCall]:
        """Return the calls for some items, of which the first has this place among all."""
        _, function, spread, _, _, limit, _ = self._options
        if limit is not None:
            return [
                LimitedCall(self, i, function, item if spread else (item,), _NO_KEYWORDS, limit)
                for i, item in enumerate(items, index)
            ]
        if spread:
            return [PendingCall(self, i, function, item, _NO_KEYWORDS) for i, item in enumerate(items, index)]
        return [PendingCall(self, i, function, (item,), _NO_KEYWORDS) for i, item in enumerate(items, index)]

    @abstractmethod
    def _is_due(self) -> bool:
        """Return True when the coroutine that waits should go on."""

    async def _wait(self) -> None:
        """Wait until `wake` is called; cancelling it loses nothing."""
        if self._waiter is not None:
            raise BusyError("another coroutine is waiting for these results")
        self._dispatcher.schedule()  # perhaps nothing was asked of the source yet
        if self._is_due():
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
        return fresh(self._error) if self._error else error


class ResultIterator(MapBase, Generic[R]):
    """
    The results of many calls, one by one: ``async for result in results``.

    A call that failed raises in its place; another ``async for`` over the same object goes on after it. Items are
    taken at the pace of results: the number of calls in flight, and of results not taken yet, is bounded. Cancelling
    the wait for a result loses none.

    Args:
        options: what is done with each item.
        dispatcher: makes the calls.
        progress: counts those that are expected.
        in_order: True for results in the order of the items, False for results as they come.
    """

    def __init__(self, options: MapOptions, dispatcher: Dispatcher, progress: Progress, *, in_order: bool) -> None:
        super().__init__(options, dispatcher, progress)
        self._in_order = in_order
        self._given = 0
        self._is_held_up = False

    @property
    def supply(self) -> Supply:
        """Whether it has more calls; none while results wait to be taken."""
        supply = super().supply
        return Supply.EXHAUSTED if supply is Supply.MORE and self._is_held_up else supply

    @property
    def waits(self) -> str:
        """What it waits for until it has more calls, as text for people; "" for nothing."""
        return "waits for its results to be taken" if self._is_held_up and self._ready else super().waits

    def take(self, most: int) -> list[PendingCall]:
        """Return the next calls to make, as many as are available now."""
        room = self._most() - (self._taken - self._given)
        self._is_held_up = room < most
        return super().take(min(room, most)) if room > 0 else []

    def wake(self) -> None:
        """Wake the coroutine that waits for results."""
        if self._waiter is not None and self._is_due():
            super().wake()

    if not TYPE_CHECKING:  # type checkers find this by themselves

        def __iter__(self) -> NoReturn:
            raise TypeError("results arrive one by one: use async for result in pool.imap(...)")

        def __await__(self) -> NoReturn:
            raise TypeError("results arrive one by one: use async for result in pool.imap(...), or await pool.map(...)")

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> R:
        while not self._has_result():
            if self._is_closed:
                raise StopAsyncIteration
            if self._is_cancelled:
                raise RuntimeError("the pool's block was left before all results were taken; iterate inside it")
            if self.is_over:
                raise self._last_error() or StopAsyncIteration
            await self._wait()
        ok, value = self._pop()
        if ok or self._options.return_exceptions:
            return value  # type: ignore[no-any-return]  # what a call returns is the caller's to say
        raise value

    def _most(self) -> int:
        """Return how many items may be on their way, or done and not taken."""
        return _AHEAD * len(self._dispatcher.workers.up)

    def _has_result(self) -> bool:
        return self._given in self._ready if self._in_order else bool(self._ready)

    def _is_due(self) -> bool:
        return self._has_result() or self.is_over

    def _pop(self) -> tuple[bool, Any]:
        outcome = self._ready.pop(self._given if self._in_order else next(iter(self._ready)))
        self._given += 1
        if self._is_held_up and 2 * (self._taken - self._given) <= self._most():  # not for each: in batches it is cheap
            self._is_held_up = False
            self._dispatcher.schedule()
        return outcome


class KeyedIterator(ResultIterator[tuple[int, R]]):
    """The results of many calls as they come, each with the index of its item: ``(index, result)``."""

    def _pop(self) -> tuple[bool, Any]:
        index = next(iter(self._ready))
        ok, value = super()._pop()
        return ok, (index, value) if ok or self._options.return_exceptions else value


class MapCall(MapBase):
    """The results of many calls, all together."""

    @property
    def _error_of_call(self) -> BaseException | None:
        return None if self._options.return_exceptions else self._failure

    def wake(self) -> None:
        """Wake the coroutine that waits for results."""
        if self._is_due():
            super().wake()

    async def collect(self) -> list[Any]:
        """Wait for all results, in the order of the items, or for the first failure, which ends it."""
        try:
            while not self._is_due():
                await self._wait()
            if self._is_cancelled:
                raise asyncio.CancelledError("the pool's block was left")
            error = self._error_of_call or self._last_error()
            if error is not None:
                raise error
            return [self._ready[index][1] for index in range(self._taken)]
        finally:
            await self.aclose()

    def _is_due(self) -> bool:
        return self._error_of_call is not None or self.is_over
