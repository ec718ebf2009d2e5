"""The calls of a pool, with the types of their results: those of the functions that are called."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import AsyncIterable, Callable, Coroutine, Iterable
from typing import TYPE_CHECKING, Any, Generic, Literal, NamedTuple, SupportsIndex, TypedDict, TypeVar, Unpack, overload

from aioparcs.pool.results import R, ResultIterator

if TYPE_CHECKING:  # with a default, so that a plain `Pool` is one of any calls
    from typing_extensions import ParamSpec

    P = ParamSpec("P", default=...)
else:
    from typing import ParamSpec

    P = ParamSpec("P")

__all__ = ["CallOptions", "P", "PoolCalls"]

T = TypeVar("T")
Items = Iterable[Any] | AsyncIterable[Any]
Limit = float | None
Total = SupportsIndex | None
No = Literal[False]
Plain = Callable[..., T]
Async = Callable[..., Coroutine[Any, Any, T]]


class MapArguments(TypedDict, total=False):
    """The arguments of a method for many calls that don't change the type of its results."""

    timeout: Limit
    total: Total


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
    """

    items: Items
    function: Any
    spread: bool
    return_exceptions: bool
    timeout: Limit
    total: Total


class PoolCalls(Generic[P, R]):
    """The methods of a pool that call functions; ``P`` are the parameters of its function, and ``R`` is its result."""

    @abstractmethod
    async def _collect(self, options: CallOptions) -> list[Any]: ...

    @abstractmethod
    def _iterate(self, options: CallOptions, *, in_order: bool) -> ResultIterator: ...

    @abstractmethod
    def _submit(
        self, timeout: Limit, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> asyncio.Future[Any]: ...

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

        Returns:
            The results in the order of the items.

        Raises:
            TypeError: the function is none that workers can find; says what to do.
            RemoteError, WorkerLost, CallTimeout, EncodeError, DecodeError: the error of the first failed call; the
                others are cancelled.
            StartError: no worker is left, and none can be started.
        """
        options = CallOptions(items, function, False, return_exceptions, timeout, total)
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
    ) -> Any:
        """Call the function as `map` does, with items that are tuples of arguments."""
        options = CallOptions(items, function, True, return_exceptions, timeout, total)
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
    ) -> Any:
        """
        Call the function with each item, and yield the results one by one, in the order of the items.

        Args:
            items: see `map`.
            function: see `map`.
            return_exceptions: yield the exceptions of failed calls as results, instead of raising them.
            timeout: see `map`.
            total: see `map`.

        Returns:
            An async iterator.
        """
        options = CallOptions(items, function, False, return_exceptions, timeout, total)
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
    ) -> Any:
        """Call the function as `imap` does, with items that are tuples of arguments."""
        options = CallOptions(items, function, True, return_exceptions, timeout, total)
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
    ) -> Any:
        """Call the function as `imap` does, and yield each result as soon as it is there."""
        options = CallOptions(items, function, False, return_exceptions, timeout, total)
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
    ) -> Any:
        """Call the function as `imap_unordered` does, with items that are tuples of arguments."""
        options = CallOptions(items, function, True, return_exceptions, timeout, total)
        return self._iterate(options, in_order=False)

    @overload
    def submit(self, /, *args: P.args, **kwargs: P.kwargs) -> asyncio.Future[R]: ...
    @overload
    def submit(self, /, *args: Any, function: str, **kwargs: Any) -> asyncio.Future[Any]: ...
    @overload
    def submit(self, /, *args: Any, function: Async[T], **kwargs: Any) -> asyncio.Future[T]: ...
    @overload
    def submit(self, /, *args: Any, function: Plain[T], **kwargs: Any) -> asyncio.Future[T]: ...
    def submit(self, /, *args: Any, function: Any = "", **kwargs: Any) -> Any:
        """
        Submit one call, made as soon as a worker has room for it.

        Args:
            *args: the arguments of the call.
            function: see `map`; an argument of this name must be given by its position.
            **kwargs: the keyword arguments of the call.

        Returns:
            Its future. Cancelling that takes the call back, or cancels a coroutine function; a plain function that
            has begun runs to its end, and its result is discarded.
        """
        return self._submit(None, function, args, kwargs)

    @overload
    def submit_within(self, timeout: float, /, *args: P.args, **kwargs: P.kwargs) -> asyncio.Future[R]: ...
    @overload
    def submit_within(self, timeout: float, /, *args: Any, function: str, **kwargs: Any) -> asyncio.Future[Any]: ...
    @overload
    def submit_within(self, timeout: float, /, *args: Any, function: Async[T], **kwargs: Any) -> asyncio.Future[T]: ...
    @overload
    def submit_within(self, timeout: float, /, *args: Any, function: Plain[T], **kwargs: Any) -> asyncio.Future[T]: ...
    def submit_within(self, timeout: float, /, *args: Any, function: Any = "", **kwargs: Any) -> Any:
        """
        Submit one call as `submit` does, with a time limit of its own.

        Args:
            timeout: seconds that the call may take in its worker. By its position only, so that the function may have
                an argument of this name.
            *args: see `submit`.
            function: see `submit`.
            **kwargs: see `submit`.
        """
        return self._submit(timeout, function, args, kwargs)
