"""The methods of a pool for single calls."""

from __future__ import annotations

import asyncio
from typing import Any, Generic, overload

from aioparcs.pool.calls.options import Async, CallBase, P, Plain, T
from aioparcs.pool.results import R

__all__ = ["SubmitMethods"]


class SubmitMethods(CallBase, Generic[P, R]):
    """The methods for single calls; ``P`` are the parameters of the pool's own function, and ``R`` is its result."""

    @overload
    def submit(self, /, *args: P.args, **kwargs: P.kwargs) -> asyncio.Future[R]: ...
    @overload
    def submit(self, /, *args: Any, priority: int, **kwargs: Any) -> asyncio.Future[R]: ...
    @overload
    def submit(self, /, *args: Any, function: str, priority: int = 0, **kwargs: Any) -> asyncio.Future[Any]: ...
    @overload
    def submit(self, /, *args: Any, function: Async[T], priority: int = 0, **kwargs: Any) -> asyncio.Future[T]: ...
    @overload
    def submit(self, /, *args: Any, function: Plain[T], priority: int = 0, **kwargs: Any) -> asyncio.Future[T]: ...
    def submit(self, /, *args: Any, function: Any = "", priority: Any = 0, **kwargs: Any) -> Any:
        """
        Submit one call, made as soon as a worker has room for it.

        Args:
            *args: the arguments of the call.
            function: see `map`; an argument of this name must be given by its position.
            priority: see `map`; an argument of this name, too.
            **kwargs: the keyword arguments of the call.

        Returns:
            Its future. Cancelling that takes the call back, or cancels a coroutine function; a plain function that
            has begun runs to its end, and its result is discarded.
        """
        return self._submit(None, priority, function, args, kwargs)

    @overload
    def submit_within(self, timeout: float, /, *args: P.args, **kwargs: P.kwargs) -> asyncio.Future[R]: ...
    @overload
    def submit_within(self, timeout: float, /, *args: Any, priority: int, **kwargs: Any) -> asyncio.Future[R]: ...
    @overload
    def submit_within(
        self, timeout: float, /, *args: Any, function: str, priority: int = 0, **kwargs: Any
    ) -> asyncio.Future[Any]: ...
    @overload
    def submit_within(
        self, timeout: float, /, *args: Any, function: Async[T], priority: int = 0, **kwargs: Any
    ) -> asyncio.Future[T]: ...
    @overload
    def submit_within(
        self, timeout: float, /, *args: Any, function: Plain[T], priority: int = 0, **kwargs: Any
    ) -> asyncio.Future[T]: ...
    def submit_within(self, timeout: float, /, *args: Any, function: Any = "", priority: Any = 0, **kwargs: Any) -> Any:
        """
        Submit one call as `submit` does, with a time limit of its own.

        Args:
            timeout: seconds that the call may take in its worker. By its position only, so that the function may have
                an argument of this name.
            *args: see `submit`.
            function: see `submit`.
            priority: see `submit`.
            **kwargs: see `submit`.
        """
        return self._submit(timeout, priority, function, args, kwargs)
