"""The methods of a pool that yield one result after the other."""

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
    Yes,
)
from aioparcs.pool.results import R, ResultIterator

__all__ = ["IteratorMethods"]


class IteratorMethods(CallBase, Generic[R]):
    """The methods that yield the results one by one; ``R`` is the result of the pool's own function."""

    # Each method: for the pool's own function, for one by its name, for another one, and for results among which there
    # may be exceptions.

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
        priority: int = 0,
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
            priority: see `map`.
            journal: see `map`.

        Returns:
            An async iterator.
        """
        options = CallOptions(items, function, False, return_exceptions, timeout, total, priority, journal)
        return self._iterate(options)

    @overload
    def istarmap(
        self, items: Arguments, *, return_exceptions: No = False, **more: Unpack[MapArguments]
    ) -> ResultIterator[R]: ...
    @overload
    def istarmap(
        self, items: Arguments, *, function: str, return_exceptions: No = False, **more: Unpack[MapArguments]
    ) -> ResultIterator[Any]: ...
    @overload
    def istarmap(
        self, items: Arguments, *, function: Async[T], return_exceptions: No = False, **more: Unpack[MapArguments]
    ) -> ResultIterator[T]: ...
    @overload
    def istarmap(
        self, items: Arguments, *, function: Plain[T], return_exceptions: No = False, **more: Unpack[MapArguments]
    ) -> ResultIterator[T]: ...
    @overload
    def istarmap(
        self, items: Arguments, *, function: Any = "", return_exceptions: bool, **more: Unpack[MapArguments]
    ) -> ResultIterator[Any]: ...
    def istarmap(
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
        """Call the function as `imap` does, with items that are its arguments, see `starmap`."""
        options = CallOptions(items, function, True, return_exceptions, timeout, total, priority, journal)
        return self._iterate(options)

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
    @overload
    def imap_unordered(
        self, items: Items, *, keyed: Yes, return_exceptions: No = False, **more: Unpack[MapArguments]
    ) -> ResultIterator[tuple[int, R]]: ...
    @overload
    def imap_unordered(
        self,
        items: Items,
        *,
        keyed: Yes,
        function: str,
        return_exceptions: No = False,
        **more: Unpack[MapArguments],
    ) -> ResultIterator[tuple[int, Any]]: ...
    @overload
    def imap_unordered(
        self,
        items: Items,
        *,
        keyed: Yes,
        function: Async[T],
        return_exceptions: No = False,
        **more: Unpack[MapArguments],
    ) -> ResultIterator[tuple[int, T]]: ...
    @overload
    def imap_unordered(
        self,
        items: Items,
        *,
        keyed: Yes,
        function: Plain[T],
        return_exceptions: No = False,
        **more: Unpack[MapArguments],
    ) -> ResultIterator[tuple[int, T]]: ...
    @overload
    def imap_unordered(
        self, items: Items, *, keyed: Yes, function: Any = "", return_exceptions: bool, **more: Unpack[MapArguments]
    ) -> ResultIterator[tuple[int, Any]]: ...
    def imap_unordered(
        self,
        items: Items,
        *,
        function: Any = "",
        return_exceptions: bool = False,
        keyed: bool = False,
        timeout: Limit = None,
        total: Total = None,
        priority: int = 0,
        journal: Journal = None,
    ) -> Any:
        """
        Call the function as `imap` does, and yield each result as soon as it is there.

        Args:
            items: see `map`.
            function: see `map`.
            return_exceptions: see `imap`.
            keyed: yield pairs ``(index, result)``: the index, from 0, is the place of the result's item. An exception
                that is raised has it as its ``index``.
            timeout: see `map`.
            total: see `map`.
            priority: see `map`.
            journal: see `map`.
        """
        options = CallOptions(items, function, False, return_exceptions, timeout, total, priority, journal)
        return self._iterate(options, in_order=False, keyed=keyed)

    @overload
    def istarmap_unordered(
        self, items: Arguments, *, return_exceptions: No = False, **more: Unpack[MapArguments]
    ) -> ResultIterator[R]: ...
    @overload
    def istarmap_unordered(
        self, items: Arguments, *, function: str, return_exceptions: No = False, **more: Unpack[MapArguments]
    ) -> ResultIterator[Any]: ...
    @overload
    def istarmap_unordered(
        self, items: Arguments, *, function: Async[T], return_exceptions: No = False, **more: Unpack[MapArguments]
    ) -> ResultIterator[T]: ...
    @overload
    def istarmap_unordered(
        self, items: Arguments, *, function: Plain[T], return_exceptions: No = False, **more: Unpack[MapArguments]
    ) -> ResultIterator[T]: ...
    @overload
    def istarmap_unordered(
        self, items: Arguments, *, function: Any = "", return_exceptions: bool, **more: Unpack[MapArguments]
    ) -> ResultIterator[Any]: ...
    @overload
    def istarmap_unordered(
        self, items: Arguments, *, keyed: Yes, return_exceptions: No = False, **more: Unpack[MapArguments]
    ) -> ResultIterator[tuple[int, R]]: ...
    @overload
    def istarmap_unordered(
        self,
        items: Arguments,
        *,
        keyed: Yes,
        function: str,
        return_exceptions: No = False,
        **more: Unpack[MapArguments],
    ) -> ResultIterator[tuple[int, Any]]: ...
    @overload
    def istarmap_unordered(
        self,
        items: Arguments,
        *,
        keyed: Yes,
        function: Async[T],
        return_exceptions: No = False,
        **more: Unpack[MapArguments],
    ) -> ResultIterator[tuple[int, T]]: ...
    @overload
    def istarmap_unordered(
        self,
        items: Arguments,
        *,
        keyed: Yes,
        function: Plain[T],
        return_exceptions: No = False,
        **more: Unpack[MapArguments],
    ) -> ResultIterator[tuple[int, T]]: ...
    @overload
    def istarmap_unordered(
        self, items: Arguments, *, keyed: Yes, function: Any = "", return_exceptions: bool, **more: Unpack[MapArguments]
    ) -> ResultIterator[tuple[int, Any]]: ...
    def istarmap_unordered(
        self,
        items: Arguments,
        *,
        function: Any = "",
        return_exceptions: bool = False,
        keyed: bool = False,
        timeout: Limit = None,
        total: Total = None,
        priority: int = 0,
        journal: Journal = None,
    ) -> Any:
        """Call the function as `imap_unordered` does, with items that are its arguments, see `starmap`."""
        options = CallOptions(items, function, True, return_exceptions, timeout, total, priority, journal)
        return self._iterate(options, in_order=False, keyed=keyed)
