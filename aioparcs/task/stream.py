"""The items of a generator function that runs in a worker: `Stream`."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, NoReturn, Self, TypeVar

from aioparcs import deadlines
from aioparcs.channel import STREAM, CallStream
from aioparcs.errors import CallTimeout, DecodeError, EncodeError, ParcsError, RemoteError, add_note
from aioparcs.task.handle import UNEXPLAINED, WorkerHandle
from aioparcs.telemetry import CallSpan, attributes_of, find_tracer

__all__ = ["END_ERRORS", "Stream", "explain_end"]

# What ends a stream, but for the loss of its worker.
END_ERRORS = (CallTimeout, DecodeError, EncodeError, *UNEXPLAINED)

T_co = TypeVar("T_co", covariant=True)


class Stream(Generic[T_co]):
    """
    The items of a generator, one by one: ``async for item in task.stream(f, x)``.

    The generator begins at once, and goes on while a few items at most have not been taken: 64, or those after which
    4 MiB are reached. Cancelling the wait for an item loses none. A stream that is closed, or no longer referenced as
    after ``break``, ends the generator: its ``finally`` blocks run.

    Args:
        source: where the items come from, or None if that is set later.
        handle: the worker that they come from.
    """

    _source: CallStream | None = None

    def __init__(self, source: CallStream | None = None, handle: WorkerHandle | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        self._source = source
        self._handle = handle
        self._error: ParcsError | None = None  # why it could not begin
        self._is_closed = False

    @classmethod
    def open(
        cls, handle: WorkerHandle, name: str, args: Sequence[Any], kwargs: Mapping[str, Any], limit: float | None = None
    ) -> Self:
        """Return the stream of a worker's function; if it can't be called, the reader gets the error."""
        tracer, open_stream = find_tracer(), handle.channel.calls.open_stream
        span = None
        if tracer is not None:
            span = CallSpan(tracer, *attributes_of(handle.module, name, handle.worker))
        try:
            if span is None:
                return cls(open_stream(name, args, kwargs, limit), handle)
            end = span.end  # not the span of a stream that is collected: this one lives as long as the call
            return cls(open_stream(name, args, kwargs, limit, lambda ended: end(ended.error), span.context), handle)
        except (EncodeError, *UNEXPLAINED) as error:
            if span is not None:
                span.end(error)
            stream = cls(None, handle)
            stream._error = error
            return stream

    if not TYPE_CHECKING:  # type checkers find this by themselves

        def __iter__(self) -> NoReturn:
            raise TypeError("items arrive one by one: use async for item in pool.stream(...)")

        __await__ = __iter__

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T_co:
        """
        Wait for the next item.

        Raises:
            RemoteError: the generator raised, after these items; also the builtin exception that it was.
            WorkerLost: the worker is gone; the items that had come before were given.
            CallTimeout: the next item took longer than its time limit.
            EncodeError, DecodeError: the arguments, or an item, can't be sent or read.
            BusyError: another coroutine is waiting for an item of this stream.
        """
        source, handle = self._source, self._handle
        if self._is_closed or handle is None:
            raise StopAsyncIteration
        try:
            if source is None:
                raise self._error or StopAsyncIteration
            return await source.take()  # type: ignore[no-any-return]  # what a generator yields is the caller's to say
        except END_ERRORS as error:
            explained = await explain_end(error, source, handle)
            self._is_closed = True
            raise explained from error.__cause__

    async def aclose(self) -> None:
        """
        End the generator, and wait until its ``finally`` blocks have run, for at most a second.

        A plain function that computes goes on to its next ``yield`` first. What is raised meanwhile is shown in the
        worker's output only.
        """
        self._cancel()
        if self._source is not None:
            await self._source.wait_ended(deadlines.CALL_CLEANUP)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __del__(self) -> None:
        """End the generator of a stream that is not read to its end; the collector may call this in any thread."""
        source = self._source
        if source is not None and not source.has_ended and not self._is_closed and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(source.cancel)

    def _cancel(self) -> None:
        self._is_closed = True
        if self._source is not None:
            self._source.cancel()


async def explain_end(error: ParcsError, source: CallStream | None, handle: WorkerHandle) -> ParcsError:
    """Return an error with which a stream has ended, and that says where that was, and what happened there."""
    if isinstance(error, CallTimeout):
        return handle.locate(error)
    if isinstance(error, EncodeError | DecodeError):
        return error
    explained = await handle.explain(error)
    if isinstance(explained, RemoteError):
        if explained.type == "LookupError" and repr(STREAM) in explained.message:
            add_note(
                explained, "this worker knows no streams: its aioparcs, or its program in another language, is older"
            )
        return explained
    return (source and handle.timed_out(source.call_id)) or explained
