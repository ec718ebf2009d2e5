"""The types and options that the methods of a pool share."""

from __future__ import annotations

import asyncio
import os
from abc import ABC, abstractmethod
from collections.abc import AsyncIterable, Callable, Coroutine, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, SupportsIndex, TypedDict, TypeVar

from aioparcs.pool.results import ResultIterator

if TYPE_CHECKING:  # with a default, so that a plain `Pool` is one of any calls
    from typing_extensions import ParamSpec

    P = ParamSpec("P", default=...)
else:
    from typing import ParamSpec

    P = ParamSpec("P")

__all__ = [
    "Arguments",
    "Async",
    "CallBase",
    "CallOptions",
    "Items",
    "Journal",
    "Limit",
    "MapArguments",
    "No",
    "P",
    "Plain",
    "T",
    "Total",
    "Yes",
]

T = TypeVar("T")
Items = Iterable[Any] | AsyncIterable[Any]
_Arguments = tuple[Any, ...] | list[Any] | Mapping[str, Any]
Arguments = Iterable[_Arguments] | AsyncIterable[_Arguments]
Limit = float | None
Total = SupportsIndex | None
Journal = str | os.PathLike[str] | None
No = Literal[False]
Yes = Literal[True]
Plain = Callable[..., T]
Async = Callable[..., Coroutine[Any, Any, T]]


class MapArguments(TypedDict, total=False):
    """The arguments of a method for many calls that don't change the type of its results."""

    timeout: Limit
    total: Total
    priority: int
    journal: Journal


class CallOptions(NamedTuple):
    """
    What a `map` or `imap` is to do.

    Attributes:
        items: an iterable, or an async one.
        function: the function or its name, "" for the pool's.
        spread: True when an item is a tuple of arguments, or a dict of keyword arguments.
        return_exceptions: return the exceptions of failed calls as results.
        timeout: seconds that each call may take in its worker, None for the pool's limit.
        total: how many items there are, None for their length, if they have one.
        priority: that of the calls.
        journal: the file that keeps the results, None for none.
    """

    items: Items
    function: Any
    spread: bool
    return_exceptions: bool
    timeout: Limit
    total: Total
    priority: int
    journal: Journal


class CallBase(ABC):
    """What the methods are carried out by."""

    @abstractmethod
    async def _collect(self, options: CallOptions) -> list[Any]: ...

    @abstractmethod
    def _iterate(self, options: CallOptions, *, in_order: bool = True, keyed: bool = False) -> ResultIterator[Any]: ...

    @abstractmethod
    def _submit(
        self, timeout: Limit, priority: int, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> asyncio.Future[Any]: ...
