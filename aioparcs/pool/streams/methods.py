"""The methods of a pool that call generator functions, with the types of their items."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncIterable, Callable, Iterable
from typing import TYPE_CHECKING, Any, Generic, overload

from aioparcs.pool.calls import Items, Limit, No, P, T
from aioparcs.task import Stream

if TYPE_CHECKING:  # with a default, as that of `P`
    from typing_extensions import TypeVar

    R_co = TypeVar("R_co", covariant=True, default=Any)
else:
    from typing import TypeVar

    R_co = TypeVar("R_co", covariant=True)

__all__ = ["StreamMethods"]

Async = Callable[..., AsyncIterable[T]]
Plain = Callable[..., Iterable[T]]


class StreamMethods(Generic[P, R_co]):
    """``P`` are the parameters of the pool's function, and ``R_co`` is what it returns: a generator."""

    @abstractmethod
    def _stream(
        self, timeout: float | None, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Stream[Any]: ...

    @abstractmethod
    def _stream_map(
        self, items: Items, function: Any, spread: bool, return_exceptions: bool, timeout: float | None
    ) -> Stream[Any]: ...

    # Each method: for the pool's own function, for one by its name, and for another one.

    @overload
    def stream(self: StreamMethods[P, AsyncIterable[T]], /, *args: P.args, **kwargs: P.kwargs) -> Stream[T]: ...
    @overload
    def stream(self: StreamMethods[P, Iterable[T]], /, *args: P.args, **kwargs: P.kwargs) -> Stream[T]: ...
    @overload
    def stream(self, /, *args: Any, function: str, **kwargs: Any) -> Stream[Any]: ...
    @overload
    def stream(self, /, *args: Any, function: Async[T], **kwargs: Any) -> Stream[T]: ...
    @overload
    def stream(self, /, *args: Any, function: Plain[T], **kwargs: Any) -> Stream[T]: ...
    def stream(self, /, *args: Any, function: Any = "", **kwargs: Any) -> Any:
        """
        Call a generator function in the worker that has the least to do, and return its items as they come.

        Any number of streams run at once, beside the calls of other methods. An error that comes before the first item
        is repeated as ``retries`` says; later ones never.

        Args:
            *args: the arguments; arrays and bytearrays in them must not be changed before the first item is there.
            function: another function than the pool's, or its name; an argument of this name must be given by its
                position. A generator function, an async one, or any that returns an iterable or an async iterable.
            **kwargs: the keyword arguments.

        Returns:
            An async iterator, see `Stream`. The pool's ``timeout`` is for each item.

        Raises:
            TypeError: the function is none that workers can find; says what to do.
        """
        return self._stream(None, function, args, kwargs)

    @overload
    def stream_within(
        self: StreamMethods[P, AsyncIterable[T]], timeout: float, /, *args: P.args, **kwargs: P.kwargs
    ) -> Stream[T]: ...
    @overload
    def stream_within(
        self: StreamMethods[P, Iterable[T]], timeout: float, /, *args: P.args, **kwargs: P.kwargs
    ) -> Stream[T]: ...
    @overload
    def stream_within(self, timeout: float, /, *args: Any, function: str, **kwargs: Any) -> Stream[Any]: ...
    @overload
    def stream_within(self, timeout: float, /, *args: Any, function: Async[T], **kwargs: Any) -> Stream[T]: ...
    @overload
    def stream_within(self, timeout: float, /, *args: Any, function: Plain[T], **kwargs: Any) -> Stream[T]: ...
    def stream_within(self, timeout: float, /, *args: Any, function: Any = "", **kwargs: Any) -> Any:
        """
        Call a generator function as `stream` does, with a time limit for each of its items.

        Args:
            timeout: seconds from when the generator is to go on to when its next item is there; the time in which it
                waits for its reader doesn't count. By its position only, as that of `submit_within`.
            *args: see `stream`.
            function: see `stream`.
            **kwargs: see `stream`.
        """
        return self._stream(timeout, function, args, kwargs)

    @overload
    def stream_map(
        self: StreamMethods[P, AsyncIterable[T]], items: Items, *, return_exceptions: No = False, timeout: Limit = None
    ) -> Stream[T]: ...
    @overload
    def stream_map(
        self: StreamMethods[P, Iterable[T]], items: Items, *, return_exceptions: No = False, timeout: Limit = None
    ) -> Stream[T]: ...
    @overload
    def stream_map(
        self, items: Items, *, function: Async[T], return_exceptions: No = False, timeout: Limit = None
    ) -> Stream[T]: ...
    @overload
    def stream_map(
        self, items: Items, *, function: Plain[T], return_exceptions: No = False, timeout: Limit = None
    ) -> Stream[T]: ...
    @overload
    def stream_map(
        self, items: Items, *, function: Any = "", return_exceptions: bool = False, timeout: Limit = None
    ) -> Stream[Any]: ...
    def stream_map(
        self, items: Items, *, function: Any = "", return_exceptions: bool = False, timeout: Limit = None
    ) -> Any:
        """
        Call a generator function with each item, and yield the items of all generators as they come.

        As many generators run at once as the workers run calls: one in each, or ``concurrency``. The next one begins
        when another has ended.

        Args:
            items: an iterable, or an async one; taken as generators begin.
            function: see `stream`.
            return_exceptions: yield the exceptions of failed generators as items, instead of raising them.
            timeout: seconds for each item; None for the pool's.

        Returns:
            An async iterator, see `Stream`. A generator that failed raises in its place; another ``async for`` over
            the same object goes on with the others.
        """
        return self._stream_map(items, function, False, return_exceptions, timeout)

    @overload
    def stream_starmap(
        self: StreamMethods[P, AsyncIterable[T]], items: Items, *, return_exceptions: No = False, timeout: Limit = None
    ) -> Stream[T]: ...
    @overload
    def stream_starmap(
        self: StreamMethods[P, Iterable[T]], items: Items, *, return_exceptions: No = False, timeout: Limit = None
    ) -> Stream[T]: ...
    @overload
    def stream_starmap(
        self, items: Items, *, function: Async[T], return_exceptions: No = False, timeout: Limit = None
    ) -> Stream[T]: ...
    @overload
    def stream_starmap(
        self, items: Items, *, function: Plain[T], return_exceptions: No = False, timeout: Limit = None
    ) -> Stream[T]: ...
    @overload
    def stream_starmap(
        self, items: Items, *, function: Any = "", return_exceptions: bool = False, timeout: Limit = None
    ) -> Stream[Any]: ...
    def stream_starmap(
        self, items: Items, *, function: Any = "", return_exceptions: bool = False, timeout: Limit = None
    ) -> Any:
        """Call a generator function with items that are tuples of arguments; for the rest see `stream_map`."""
        return self._stream_map(items, function, True, return_exceptions, timeout)
