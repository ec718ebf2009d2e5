"""The methods of a pool that return all results in a list."""

from __future__ import annotations

from typing import Any, Generic, Unpack, overload

from aioparcs.pool.calls.options import (
    Arguments,
    Async,
    CallBase,
    CallOptions,
    Items,
    Journal,
    Limit,
    MapArguments,
    No,
    Plain,
    T,
    Total,
)
from aioparcs.pool.results import R

__all__ = ["MapMethods"]


class MapMethods(CallBase, Generic[R]):
    """The methods that return all results together; ``R`` is the result of the pool's own function."""

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
        priority: int = 0,
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
            priority: calls of a higher one are made before all others that no worker has; calls of the same one take
                turns.
            journal: a file that keeps the results, so that a run that was killed goes on where it was: items whose
                results are there aren't called again; see docs/journal.md.

        Returns:
            The results in the order of the items.

        Raises:
            TypeError: the function is none that workers can find; says what to do.
            LookupError: (at once) the module has no function of this name; says which there are.
            RemoteError, WorkerLost, CallTimeout, EncodeError, DecodeError: the error of the first failed call; the
                others are cancelled.
            StartError: no worker is left, and none can be started.
            JournalError: the journal can't be read or written, is none, or another run has it open.
        """
        options = CallOptions(items, function, False, return_exceptions, timeout, total, priority, journal)
        return await self._collect(options)

    @overload
    async def starmap(
        self, items: Arguments, *, return_exceptions: No = False, **more: Unpack[MapArguments]
    ) -> list[R]: ...
    @overload
    async def starmap(
        self, items: Arguments, *, function: str, return_exceptions: No = False, **more: Unpack[MapArguments]
    ) -> list[Any]: ...
    @overload
    async def starmap(
        self, items: Arguments, *, function: Async[T], return_exceptions: No = False, **more: Unpack[MapArguments]
    ) -> list[T]: ...
    @overload
    async def starmap(
        self, items: Arguments, *, function: Plain[T], return_exceptions: No = False, **more: Unpack[MapArguments]
    ) -> list[T]: ...
    @overload
    async def starmap(
        self, items: Arguments, *, function: Any = "", return_exceptions: bool, **more: Unpack[MapArguments]
    ) -> list[Any]: ...
    async def starmap(
        self,
        items: Arguments,
        *,
        function: Any = "",
        return_exceptions: bool = False,
        timeout: Limit = None,
        total: Total = None,
        priority: int = 0,
        journal: Journal = None,
    ) -> Any:
        """
        Call the function as `map` does, with items that are its arguments.

        Args:
            items: tuples of arguments, or dicts of keyword arguments; an iterable, or an async one.
            function: see `map`.
            return_exceptions: see `map`.
            timeout: see `map`.
            total: see `map`.
            priority: see `map`.
            journal: see `map`.

        Raises:
            EncodeError: an item is neither, which is a `TypeError`; for all others see `map`.
        """
        options = CallOptions(items, function, True, return_exceptions, timeout, total, priority, journal)
        return await self._collect(options)
