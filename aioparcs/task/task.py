"""The task: one worker for its user, with messages, calls, and the way to end it."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Any, ParamSpec, TypeVar, overload

from aioparcs.channel import LIMITED, Statistics
from aioparcs.engine import time_limit
from aioparcs.errors import CallTimeout, EndOfChannel
from aioparcs.qualname import qualified_name, refuse_generator_function
from aioparcs.task.handle import UNEXPLAINED, WorkerHandle
from aioparcs.task.stream import Stream
from aioparcs.telemetry import find_tracer, traced

__all__ = ["Task"]

_P = ParamSpec("_P")
_R = TypeVar("_R")

_INTERNAL = "aioparcs."  # the names of functions that workers have for this package begin so


class Task:
    """
    The handle on one worker, with a channel to it.

    As an async context manager it waits for the worker to finish when its block is left normally, for
    at most ``close_timeout`` seconds, and kills it when the block is left on an error.

    Args:
        handle: the worker, which is connected.

    Attributes:
        module: the name of the worker's module.
        worker: its number in the job.
        rank: its number among those started together, from 0.
        size: how many were started together.
        launcher: the slot of the launcher that started it.
        handle: what supervises it, for what is built upon tasks.
    """

    def __init__(self, handle: WorkerHandle) -> None:
        self.module = handle.module
        self.worker = handle.worker
        self.rank = handle.rank
        self.size = handle.size
        self.launcher = handle.launcher
        self.handle = handle
        self._channel = handle.channel

    def __repr__(self) -> str:
        return f"<Task {self.name} {self.state}>"

    @property
    def name(self) -> str:
        """``module:worker``, and on which node if that is known."""
        return self.handle.name

    @property
    def node(self) -> str:
        """The machine that it runs on, "" if there is only one or it isn't known yet."""
        return self.handle.node

    @property
    def state(self) -> str:
        """The state of its channel (see `Statistics`), or ``gone``."""
        return self.handle.state

    # Messages

    async def send(self, message: Any) -> None:
        """Send one message; see `Channel.send`. A worker that is gone is `WorkerLost`, with its last lines."""
        try:
            await self._channel.send(message)
        except UNEXPLAINED as error:
            raise await self.handle.explain(error) from error.__cause__

    async def send_all(self, *messages: Any) -> None:
        """Send several messages, one after the other; see `send`."""
        for message in messages:
            await self.send(message)

    async def send_eof(self) -> None:
        """End sending, so that the worker's ``async for`` ends; it can still answer."""
        await self._channel.send_eof()

    async def recv(self) -> Any:
        """
        Receive the next message; see `Channel.recv`.

        Cancelling it leaves the message first in line.

        Raises:
            WorkerLost: the worker is gone; says why, with its last lines.
            RemoteError: the worker's program failed; also the builtin exception that it was.
            EndOfChannel: the worker has ended its side, and everything that it sent was received.
        """
        try:
            return await self._channel.recv()
        except UNEXPLAINED as error:
            raise await self.handle.explain(error) from error.__cause__

    async def recv_into(self, buffer: Any) -> int:
        """Receive the next message, bytes or an array, into memory of your own; see `Channel.recv_into`."""
        try:
            return await self._channel.recv_into(buffer)
        except UNEXPLAINED as error:
            raise await self.handle.explain(error) from error.__cause__

    @overload
    async def call(self, name: str, /, *args: Any, **kwargs: Any) -> Any: ...
    @overload
    async def call(
        self, function: Callable[_P, Coroutine[Any, Any, _R]], /, *args: _P.args, **kwargs: _P.kwargs
    ) -> _R: ...
    @overload
    async def call(self, function: Callable[_P, _R], /, *args: _P.args, **kwargs: _P.kwargs) -> _R: ...
    async def call(self, function: Any, /, *args: Any, **kwargs: Any) -> Any:
        """
        Call one of the worker's functions, given by its name or as a function of this program; see `Channel.call`.

        Raises:
            TypeError: the worker can't find the function; says what to do.
        """
        refuse_generator_function(function)
        name = _name(function)
        result = self._explained(self._channel.calls.call(name, *args, **kwargs))
        return await self._noted(name, args, kwargs, result)

    @overload
    async def call_within(self, timeout: float, name: str, /, *args: Any, **kwargs: Any) -> Any: ...
    @overload
    async def call_within(
        self, timeout: float, function: Callable[_P, Coroutine[Any, Any, _R]], /, *args: _P.args, **kwargs: _P.kwargs
    ) -> _R: ...
    @overload
    async def call_within(
        self, timeout: float, function: Callable[_P, _R], /, *args: _P.args, **kwargs: _P.kwargs
    ) -> _R: ...
    async def call_within(self, timeout: float, function: Any, /, *args: Any, **kwargs: Any) -> Any:
        """
        Call one of the worker's functions as `call` does, for a limited time.

        Args:
            timeout: seconds that it may take, from when it begins in the worker. A coroutine function is cancelled
                then, a plain one ends with its worker.
            function: see `call`.
            *args: its arguments.
            **kwargs: its keyword arguments.

        Raises:
            TypeError: the worker can't find the function; says what to do.
            CallTimeout: it took longer.
        """
        refuse_generator_function(function)
        calls, name = self._channel.calls, _name(function)
        call_id, limited = calls.new_id(), (time_limit(timeout), name, list(args), kwargs)
        result = self._explained(calls.call_as(call_id, LIMITED, limited, {}), call_id)
        return await self._noted(name, args, kwargs, result)

    @overload
    def stream(self, name: str, /, *args: Any, **kwargs: Any) -> Stream[Any]: ...
    @overload
    def stream(
        self, function: Callable[_P, AsyncIterable[_R]], /, *args: _P.args, **kwargs: _P.kwargs
    ) -> Stream[_R]: ...
    @overload
    def stream(self, function: Callable[_P, Iterable[_R]], /, *args: _P.args, **kwargs: _P.kwargs) -> Stream[_R]: ...
    def stream(self, function: Any, /, *args: Any, **kwargs: Any) -> Stream[Any]:
        """
        Call one of the worker's generator functions, and return its items as they come; see `Stream`.

        Args:
            function: its name, or a function of this program: a generator function, an async one, or any that returns
                an iterable or an async iterable.
            *args: its arguments; arrays and bytearrays in them must not be changed before the first item is there.
            **kwargs: its keyword arguments.

        Raises:
            TypeError: the worker can't find the function; says what to do.
            ChannelClosed: this end of the worker's channel is closed.
        """
        return Stream.open(self.handle, _name(function), args, kwargs)

    @overload
    def stream_within(self, timeout: float, name: str, /, *args: Any, **kwargs: Any) -> Stream[Any]: ...
    @overload
    def stream_within(
        self, timeout: float, function: Callable[_P, AsyncIterable[_R]], /, *args: _P.args, **kwargs: _P.kwargs
    ) -> Stream[_R]: ...
    @overload
    def stream_within(
        self, timeout: float, function: Callable[_P, Iterable[_R]], /, *args: _P.args, **kwargs: _P.kwargs
    ) -> Stream[_R]: ...
    def stream_within(self, timeout: float, function: Any, /, *args: Any, **kwargs: Any) -> Stream[Any]:
        """
        Call a generator function as `stream` does, with a limited time for each item.

        Args:
            timeout: seconds from when the generator is to go on to when its next item is there; the time in which it
                waits for its reader doesn't count. An async generator is cancelled then, a plain one ends with its
                worker, and the reader gets a `CallTimeout`.
            function: see `stream`.
            *args: see `stream`.
            **kwargs: see `stream`.
        """
        return Stream.open(self.handle, _name(function), args, kwargs, time_limit(timeout))

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        try:
            return await self.recv()
        except EndOfChannel:
            raise StopAsyncIteration from None

    def statistics(self) -> Statistics:
        """Return the statistics of the channel to this worker; see `Statistics`."""
        return self._channel.statistics()

    @property
    def is_ready(self) -> bool:
        """True when `recv` would not wait."""
        return self._channel.is_ready

    def watch(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call ``callback`` whenever something arrives; returns what undoes it."""
        return self._channel.watch(callback)

    # The end

    def shutdown(self) -> Coroutine[Any, Any, None]:
        """
        End the channel and wait for the worker to finish; after ``close_timeout`` seconds it is killed.

        Cancelling it kills the worker at once.
        """
        return self.handle.shutdown()

    def kill(self) -> Coroutine[Any, Any, None]:
        """End the worker at once, and wait until it is gone."""
        return self.handle.kill()

    def abort(self) -> None:
        """End the worker at once, without waiting for anything."""
        self.handle.abort()

    async def __aenter__(self) -> Task:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            await self.shutdown()
        else:
            await self.kill()

    async def _explained(self, result: Coroutine[Any, Any, Any], limited: int | None = None) -> Any:
        """Return a call's result, or raise its error as the launcher explains it; one with a limit has its id here."""
        try:
            return await result
        except CallTimeout as error:
            raise self.handle.locate(error) from None
        except UNEXPLAINED as error:
            explained = await self.handle.explain(error)
            timed_out = None if limited is None else self.handle.timed_out(limited)
            raise timed_out or explained from error.__cause__

    def _noted(
        self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any], result: Coroutine[Any, Any, Any]
    ) -> Coroutine[Any, Any, Any]:
        """Return what waits for a call's result, and notes when it began and ended if that is wanted."""
        if name.startswith(_INTERNAL):
            return result
        if tracer := find_tracer():
            result = traced(tracer, self.module, name, self.worker, result)
        trace = self.handle.trace
        return result if trace is None else trace.call(self.worker, name, args, kwargs, result)


def _name(function: Any) -> str:
    """Return the name by which a worker knows a function."""
    return function if isinstance(function, str) else str(qualified_name(function))
