"""Calls of the peer's functions over one connection."""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

import msgpack

from aioparcs import codec, wire
from aioparcs.channel.calls.results import call_id_of, read_results
from aioparcs.channel.calls.streams import CallStream
from aioparcs.channel.connection import FrameConnection
from aioparcs.errors import EncodeError
from aioparcs.telemetry import present_context
from aioparcs.wire import LIMITED, STREAM, Frame, FrameType

__all__ = ["CallClient", "OutgoingCall"]

_HEADS = [wire.encode_header(FrameType.CALL, size) for size in range(256)]


class OutgoingCall(Protocol):
    """A call to post: the function's name, "" for the first that the peer serves, and its arguments."""

    function: str
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    call_id: int


_Posted = TypeVar("_Posted", bound=OutgoingCall)


class CallClient:
    """
    The calls that this side makes.

    Args:
        connection: what they travel over.
    """

    def __init__(self, connection: FrameConnection) -> None:
        self._connection = connection
        self._sender = connection.sender
        self._outbox = connection.outbox
        self._inbox = connection.inbox
        self._memory = connection.inbox.memory
        self._pending: dict[int, asyncio.Future[Frame | None] | CallStream] = {}
        self._result_handler: Callable[[Sequence[Frame | bytes]], object] | None = None
        self._call_ids = itertools.count()
        self._memory.expected = self._pending
        connection.reader.router.handle_small_results = self._take_results
        connection.add_handler(FrameType.RESULT, self._handle_result)
        connection.ended.add_done_callback(self._handle_end)

    @property
    def has_room(self) -> bool:
        """True when a call could be sent without waiting for the peer to read."""
        return not self._outbox.full

    async def call(self, name: str, /, *args: Any, **kwargs: Any) -> Any:
        """
        Call one of the peer's functions.

        Any number of calls may be on their way at once. Cancelling it asks the peer to cancel the call too.

        Args:
            name: the function's name.
            *args: its arguments, anything that `Channel.send` takes.
            **kwargs: its keyword arguments.

        Returns:
            What the function returned.

        Raises:
            RemoteError: the function raised; also the builtin exception that it was.
            EndOfChannel, ConnectionLost, ChannelClosed, EncodeError: see `Channel.send` and `Channel.recv`.
        """
        return await self.call_as(self.new_id(), name, args, kwargs)

    def new_id(self) -> int:
        """Return the id of the next call."""
        return next(self._call_ids)

    async def call_as(self, call_id: int, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Call one of the peer's functions as `call` does, with the latest id of `new_id`."""
        try:
            body, buffers = codec.encode_call(call_id, name, args, kwargs, self._connection.extensions)
        except EncodeError as error:
            raise _of_arguments(error, name) from error.__cause__
        if self._connection.tracing and (context := present_context()):
            body = codec.add_context(body, context)
        if self._outbox.blocked:
            await self._sender.wait_for_room()
        self._inbox.check()
        future: asyncio.Future[Frame | None] = self._inbox.loop.create_future()
        self._pending[call_id] = future
        try:
            self._memory.retry()
            await self._sender.send_large(FrameType.CALL, body, buffers)
            frame = await future
        except asyncio.CancelledError:
            self._sender.post(FrameType.CANCEL, msgpack.packb([call_id]))
            raise
        finally:
            del self._pending[call_id]
        if frame is None:
            self._inbox.check()
        assert frame is not None  # or the line before has raised
        ((_, ok, value),) = read_results([frame])
        if ok:
            return value
        raise value

    def open_stream(
        self,
        name: str,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        limit: float | None,
        on_end: Callable[[CallStream], object] = lambda _stream: None,
        context: Mapping[str, str] | None = None,
    ) -> CallStream:
        """
        Call one of the peer's functions for the items of a generator, without waiting for room.

        Args:
            name: the function's name.
            args: its arguments. Mutable buffers in them belong to the channel until the first item is there.
            kwargs: its keyword arguments.
            limit: seconds that each item may take, None for any time.
            on_end: called once, when nothing more of it will come.
            context: its trace context.

        Raises:
            EncodeError: the arguments can't be sent.
            EndOfChannel, ConnectionLost, ChannelClosed: see `call`.
        """

        def end(stream: CallStream) -> None:
            del self._pending[stream.call_id]
            on_end(stream)

        stream = CallStream(self._connection, name, args, kwargs, limit, end)
        for _, error in self.post_calls([stream], None if context is None else lambda _: context):
            raise error
        stream.args = ()
        self._pending[stream.call_id] = stream
        self._memory.retry()
        return stream

    def set_result_handler(self, handler: Callable[[Sequence[Frame | bytes]], object]) -> None:
        """Pass the results of posted calls to ``handler``: RESULT frames, small ones as the bodies alone."""
        self._result_handler = handler
        self._memory.expected = (handler,)  # always: what is on its way may be what the program waits for

    def post_calls(
        self, calls: Iterable[_Posted], context_of: Callable[[_Posted], Mapping[str, str] | None] | None = None
    ) -> list[tuple[_Posted, EncodeError]]:
        """
        Send calls of the peer's functions without waiting for room or for results; see `set_result_handler`.

        Args:
            calls: each gets its ``call_id``. Mutable buffers in their arguments belong to the channel until the
                answer is there.
            context_of: returns the trace context of each, once it has its ``call_id``.

        Returns:
            The calls that can't be sent, and why.

        Raises:
            EndOfChannel, ConnectionLost, ChannelClosed: see `call`; none was sent.
        """
        self._sender.check()
        self._inbox.check()
        rejected: list[tuple[_Posted, EncodeError]] = []
        frames: list[bytes] = []
        extensions = self._connection.extensions
        if not self._connection.tracing:
            context_of = None
        for call in calls:
            call.call_id = call_id = next(self._call_ids)
            try:
                body, buffers = codec.encode_call(call_id, call.function, call.args, call.kwargs, extensions)
                if context_of is not None and (context := context_of(call)):
                    body = codec.add_context(body, context)
                size = len(body)
                if buffers or size > self._sender.max_body:
                    self._sender.check_size(size, sum(map(len, buffers)))
            except EncodeError as error:
                rejected.append((call, _of_arguments(error, call.function)))
                continue
            if buffers:
                self._memory.retry()
                self._outbox.put_batch(frames)
                frames = []
                self._outbox.put_large(FrameType.CALL, body, buffers, None)
            else:
                frames.append((_HEADS[size] if size < 256 else wire.encode_header(FrameType.CALL, size)) + body)
        self._outbox.put_batch(frames)
        return rejected

    def cancel_call(self, call_id: int) -> None:
        """Ask the peer to stop a call that was posted; its answer then comes or doesn't."""
        self._sender.post(FrameType.CANCEL, msgpack.packb([call_id]))

    def revoke(self, call_id: int) -> None:
        """Revoke a call that was posted: its result is `REVOKED` if it has not begun, else the usual one."""
        self._sender.post(FrameType.CANCEL, msgpack.packb([call_id, True]))

    # Inside

    def _take_results(self, results: Sequence[Frame | bytes]) -> None:
        if self._result_handler is not None and not self._pending:
            self._result_handler(results)
            return
        for result in results:
            body = result if isinstance(result, bytes) else result.body
            future = self._pending.get(call_id_of(body))
            if future is None and self._result_handler is not None:
                self._result_handler([result])
            elif future is not None and not future.done():
                future.set_result(Frame(FrameType.RESULT, body) if result is body else wire.frame_of(result))

    def _handle_result(self, frame: Frame) -> None:
        self._take_results([frame])

    def _handle_end(self, _ended: asyncio.Future[None]) -> None:
        """Wake all callers: no more results will come."""
        for future in list(self._pending.values()):  # a stream that ends removes itself
            if not future.done():
                future.set_result(None)


def _of_arguments(error: EncodeError, name: str) -> EncodeError:
    """Return why a call can't be sent, with the place in it as its caller knows it."""
    place = (
        error.place.replace("$[2]", "$", 1) if name in (LIMITED, STREAM) else error.place
    )  # in the call within that call
    place = re.sub(r"^\$\[[23]\]\[?([^\].]*)\]?", r"argument \1", place).replace("argument .", "argument ")
    rejection = EncodeError(place, error.reason)
    rejection.__cause__ = error.__cause__
    return rejection
