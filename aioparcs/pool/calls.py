"""The calls of a pool, with the types of their results: those of the functions that are called."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import AsyncIterable, Iterable
from typing import Any, Literal, NamedTuple, SupportsIndex, TypedDict, TypeVar, Unpack, overload

from aioparcs.pool.results import R, ResultIterator
from aioparcs.pool.submit_calls import Async, Limit, P, Plain, SubmitCalls

__all__ = ["CallOptions", "Items", "P", "PoolCalls"]

T = TypeVar("T")
Items = Iterable[Any] | AsyncIterable[Any]
Total = SupportsIndex | None
Journal = str | os.PathLike[str] | None
No = Literal[False]


class MapArguments(TypedDict, total=False):
    """The arguments of a method for many calls that don't change the type of its results."""

    timeout: Limit
    total: Total
    journal: Journal


class CallOptions(NamedTuple):
    """
    What a `map` or `imap` is to do.

    Attributes:
        items: an iterable, or an async one.
        function: the function or its name, "" for the pool's.
        spread: True when an item is a tuple of arguments.
        return_exceptions: return the exceptions of failed calls as results.
        timeout: seconds that each call may take in its worker, None for the pool's limit.
        total: how many items there are, None for their length, if they have one.
        journal: the file that keeps the results, None for none.
    """

    items: Items
    function: Any
    spread: bool
    return_exceptions: bool
    timeout: Limit
    total: Total
    journal: Journal


class PoolCalls(SubmitCalls[P, R]):
    """The methods of a pool that call functions; ``P`` are the parameters of its function, and ``R`` is its result."""

    @abstractmethod
    async def _collect(self, options: CallOptions) -> list[Any]: ...

    @abstractmethod
    def _iterate(self, options: CallOptions, *, in_order: bool) -> ResultIterator: ...

    # Each method: for the pool's own function, for one by its name, for another one, and for results among which there
    # may be exceptions.

    @overload
    async def map(self, items: Items, *, return_exceptions: No = False, **more: Unpack[MapArguments]) -> list[R]: ...
    @overload
    async def map(
        self, items: Items, *, function: str, return_exceptions: No = False, **more: Unpack[MapArguments]
    ) -> list[Any]: ...
    @overload
    async def map(
        self, items: Items, *, function: Async[T], return_exceptions: No = False, **more: Unpack[MapArguments]
    ) -> list[T]: ...
    @overload
    async def map(
        self, items: Items, *, function: Plain[T], return_exceptions: No = False, **more: Unpack[MapArguments]
    ) -> list[T]: ...
    @overload
    async def map(
        self, items: Items, *, function: Any = "", return_exceptions: bool, **more: Unpack[MapArguments]
    ) -> list[Any]: ...
    async def map(
        self,
        items: Items,
        *,
        function: Any = "",
        return_exceptions: bool = False,
        timeout: Limit = None,
        total: Total = None,
        journal: Journal = None,
    ) -> Any:
        """
        Call the function with each item, and wait for all results.

        Cancelling it takes no more items, takes back the calls that have not begun, and cancels coroutine functions;
        plain functions that run go on, and their results are discarded.

        Args:
            items: an iterable, or an async one.
            function: another function than the pool's, or its name; see docs/pool.md.
            return_exceptions: put the exceptions of failed calls into the list.
            timeout: seconds that each call may take in its worker; by default the pool's ``timeout``.
            total: how many items there are, for the progress; by default their length, if they have one.
            journal: a file that keeps the results, so that a run that was killed goes on where it was: items whose
                results are there aren't called again; see docs/journal.md.

        Returns:
            The results in the order of the items.

        Raises:
            TypeError: the function is none that workers can find; says what to do.
            RemoteError, WorkerLost, CallTimeout, EncodeError, DecodeError: the error of the first failed call; the
                others are cancelled.
            StartError: no worker is left, and none can be started.
            JournalError: the journal can't be read or written, is none, or another run has it open.
        """
        options = CallOptions(items, function, False, return_exceptions, timeout, total, journal)
        return await self._collect(options)

    @overload
    async def starmap(
        self, items: Items, *, return_exceptions: No = False, **more: Unpack[MapArguments]
    ) -> list[R]: ...
    @overload
    async def starmap(
        self, items: Items, *, function: str, return_exceptions: No = False, **more: Unpack[MapArguments]
    ) -> list[Any]: ...
    @overload
    async def starmap(
        self, items: Items, *, function: Async[T], return_exceptions: No = False, **more: Unpack[MapArguments]
    ) -> list[T]: ...
    @overload
    async def starmap(
        self, items: Items, *, function: Plain[T], return_exceptions: No = False, **more: Unpack[MapArguments]
    ) -> list[T]: ...
    @overload
    async def starmap(
        self, items: Items, *, function: Any = "", return_exceptions: bool, **more: Unpack[MapArguments]
    ) -> list[Any]: ...
    async def starmap(
        self,
        items: Items,
        *,
        function: Any = "",
        return_exceptions: bool = False,
        timeout: Limit = None,
        total: Total = None,
        journal: Journal = None,
    ) -> Any:
        """Call the function as `map` does, with items that are tuples of arguments."""
        options = CallOptions(items, function, True, return_exceptions, timeout, total, journal)
        return await self._collect(options)

    @overload
    def imap(
        self, items: Items, *, return_exceptions: No = False, **more: Unpack[MapArguments]
    ) -> ResultIterator[R]: ...
    @overload
    def imap(
        self, items: Items, *, function: str, return_exceptions: No = False, **more: Unpack[MapArguments]
    ) -> ResultIterator[Any]: ...
    @overload
    def imap(
        self, items: Items, *, function: Async[T], return_exceptions: No = False, **more: Unpack[MapArguments]
    ) -> ResultIterator[T]: ...
    @overload
    def imap(
        self, items: Items, *, function: Plain[T], return_exceptions: No = False, **more: Unpack[MapArguments]
    ) -> ResultIterator[T]: ...
    @overload
    def imap(
        self, items: Items, *, function: Any = "", return_exceptions: bool, **more: Unpack[MapArguments]
    ) -> ResultIterator[Any]: ...
    def imap(
        self,
        items: Items,
        *,
        function: Any = "",
        return_exceptions: bool = False,
        timeout: Limit = None,
        total: Total = None,
        journal: Journal = None,
    ) -> Any:
        """
        Call the function with each item, and yield the results one by one, in the order of the items.

        Args:
            items: see `map`.
            function: see `map`.
            return_exceptions: yield the exceptions of failed calls as results, instead of raising them.
            timeout: see `map`.
            total: see `map`.
            journal: see `map`.

        Returns:
            An async iterator.
        """
        options = CallOptions(items, function, False, return_exceptions, timeout, total, journal)
        return self._iterate(options, in_order=True)

    @overload
    def istarmap(
        self, items: Items, *, return_exceptions: No = False, **more: Unpack[MapArguments]
    ) -> ResultIterator[R]: ...
    @overload
    def istarmap(
        self, items: Items, *, function: str, return_exceptions: No = False, **more: Unpack[MapArguments]
    ) -> ResultIterator[Any]: ...
    @overload
    def istarmap(
        self, items: Items, *, function: Async[T], return_exceptions: No = False, **more: Unpack[MapArguments]
    ) -> ResultIterator[T]: ...
    @overload
    def istarmap(
        self, items: Items, *, function: Plain[T], return_exceptions: No = False, **more: Unpack[MapArguments]
    ) -> ResultIterator[T]: ...
    @overload
    def istarmap(
        self, items: Items, *, function: Any = "", return_exceptions: bool, **more: Unpack[MapArguments]
    ) -> ResultIterator[Any]: ...
    def istarmap(
        self,
        items: Items,
        *,
        function: Any = "",
        return_exceptions: bool = False,
        timeout: Limit = None,
        total: Total = None,
        journal: Journal = None,
    ) -> Any:
        """Call the function as `imap` does, with items that are tuples of arguments."""
        options = CallOptions(items, function, True, return_exceptions, timeout, total, journal)
        return self._iterate(options, in_order=True)

    @overload
    def imap_unordered(
        self, items: Items, *, return_exceptions: No = False, **more: Unpack[MapArguments]
    ) -> ResultIterator[R]: ...
    @overload
    def imap_unordered(
        self, items: Items, *, function: str, return_exceptions: No = False, **more: Unpack[MapArguments]
    ) -> ResultIterator[Any]: ...
    @overload
    def imap_unordered(
        self, items: Items, *, function: Async[T], return_exceptions: No = False, **more: Unpack[MapArguments]
    ) -> ResultIterator[T]: ...
    @overload
    def imap_unordered(
        self, items: Items, *, function: Plain[T], return_exceptions: No = False, **more: Unpack[MapArguments]
    ) -> ResultIterator[T]: ...
    @overload
    def imap_unordered(
        self, items: Items, *, function: Any = "", return_exceptions: bool, **more: Unpack[MapArguments]
    ) -> ResultIterator[Any]: ...
    def imap_unordered(
        self,
        items: Items,
        *,
        function: Any = "",
        return_exceptions: bool = False,
        timeout: Limit = None,
        total: Total = None,
        journal: Journal = None,
    ) -> Any:
        """Call the function as `imap` does, and yield each result as soon as it is there."""
        options = CallOptions(items, function, False, return_exceptions, timeout, total, journal)
        return self._iterate(options, in_order=False)

    @overload
    def istarmap_unordered(
        self, items: Items, *, return_exceptions: No = False, **more: Unpack[MapArguments]
    ) -> ResultIterator[R]: ...
    @overload
    def istarmap_unordered(
        self, items: Items, *, function: str, return_exceptions: No = False, **more: Unpack[MapArguments]
    ) -> ResultIterator[Any]: ...
    @overload
    def istarmap_unordered(
        self, items: Items, *, function: Async[T], return_exceptions: No = False, **more: Unpack[MapArguments]
    ) -> ResultIterator[T]: ...
    @overload
    def istarmap_unordered(
        self, items: Items, *, function: Plain[T], return_exceptions: No = False, **more: Unpack[MapArguments]
    ) -> ResultIterator[T]: ...
    @overload
    def istarmap_unordered(
        self, items: Items, *, function: Any = "", return_exceptions: bool, **more: Unpack[MapArguments]
    ) -> ResultIterator[Any]: ...
    def istarmap_unordered(
        self,
        items: Items,
        *,
        function: Any = "",
        return_exceptions: bool = False,
        timeout: Limit = None,
        total: Total = None,
        journal: Journal = None,
    ) -> Any:
        """Call the function as `imap_unordered` does, with items that are tuples of arguments."""
        options = CallOptions(items, function, True, return_exceptions, timeout, total, journal)
        return self._iterate(options, in_order=False)
