"""Calls of functions over one link, both ways, and frames that carry buffers."""

from __future__ import annotations

import asyncio
import itertools
import re
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

import msgpack

from aioparcs import codec, wire
from aioparcs.channel.connection import FrameConnection
from aioparcs.channel.outbox import Outbox
from aioparcs.channel.results import call_id_of, read_results
from aioparcs.errors import EncodeError, ProtocolError
from aioparcs.settings import Settings
from aioparcs.wire import Frame, FrameType

__all__ = ["CONCURRENCY", "NO_FUNCTION", "REVOKED", "Call", "Calls", "OutgoingCall"]

# A function that every worker of this package serves: it sets how many of the channel's calls run at once. The type of
# the error that answers it where the function is missing that its second argument names.
CONCURRENCY, NO_FUNCTION = "aioparcs.concurrency", "aioparcs.NoFunction"

# The type of the error that answers a call which was given back before it began.
REVOKED = "aioparcs.Recalled"
_RECALL = 0x92  # the head of a list of two: the id, and true
_SMALL = 1 << 16
# Answers that a peer may leave unread, once its queue here is full.
_MOST_DECLINED = 10_000
_CALL = FrameType.CALL
_new = tuple.__new__  # a named tuple without the detour through its own constructor
_HEADS = [wire.encode_header(FrameType.CALL, size) for size in range(256)]
_NO_MESSAGES = "a message came to a program that only answers calls: use call() instead of send()"


class Call(NamedTuple):
    """A call of a function that the peer has requested."""

    id: int
    name: str
    args: list[Any]
    kwargs: dict[str, Any]


class OutgoingCall(Protocol):
    """A call to post: the function's name, "" for the first that the peer serves, and its arguments."""

    function: str
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    call_id: int


_Posted = TypeVar("_Posted", bound=OutgoingCall)


class Calls(FrameConnection):
    """
    A link that also carries calls.

    Args:
        reader: the reading end of a connection that is past its handshake.
        writer: its writing end.
        settings: limits and deadlines; the defaults if None.
        version: 2, or 1 for the original wire, which has no calls.
        peer_limits: bytes that the peer accepts in a body, and in the buffers of a message; this side's own
            limits if None.
        peer: the number of the worker at the other end, if that is another one's peer; errors name it.

    Attributes:
        on_cancel: called with the id of a call that the peer doesn't want any more, or None.
        on_recall: called with the id of a call that the peer wants back unless it has begun, or None.
    """

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        settings: Settings | None = None,
        version: int = 2,
        peer_limits: tuple[int, int] | None = None,
        peer: int | None = None,
    ) -> None:
        self._calls: dict[int, asyncio.Future[Frame | None]] = {}
        self._sink: Callable[[Sequence[Frame | bytes]], None] | None = None
        self._call_ids = itertools.count()
        self._declined = 0  # calls that were answered while the peer read nothing
        self.on_cancel: Callable[[int], None] | None = None
        self.on_recall: Callable[[int], None] | None = None
        super().__init__(reader, writer, settings=settings, version=version, peer=peer)
        self._max_body, self._max_buffers = peer_limits or (self._settings.max_body, self._settings.max_buffers)
        self._inbox.expected = self._calls
        self._inbox.take_results = self._take_results

    async def call(self, name: str, /, *args: Any, **kwargs: Any) -> Any:
        """
        Call one of the peer's functions.

        Any number of calls may be on their way at once. Cancelling it asks the peer to cancel the call too.

        Args:
            name: the function's name.
            *args: its arguments, anything that `send` takes.
            **kwargs: its keyword arguments.

        Returns:
            What the function returned.

        Raises:
            RemoteError: the function raised; also the builtin exception that it was.
            EndOfChannel, ConnectionLost, ChannelClosed, EncodeError: see `send` and `recv`.
        """
        try:
            body, buffers = codec.encode_call(call_id := next(self._call_ids), name, args, kwargs)
        except EncodeError as error:
            raise EncodeError(_in_arguments(error.place), error.reason) from None
        if self._outbox.held:
            await self._wait_for_room()
        self._check_receiving()
        future: asyncio.Future[Frame | None] = self._loop.create_future()
        self._calls[call_id] = future
        try:
            self._inbox.retry()
            await self._send_large(FrameType.CALL, body, buffers)
            frame = await future
        except asyncio.CancelledError:
            self.post_frame(FrameType.CANCEL, msgpack.packb([call_id]))
            raise
        finally:
            del self._calls[call_id]
        if frame is None:
            self._check_receiving()
        assert frame is not None  # or the line before has raised
        ((_, ok, value),) = read_results([frame])
        if ok:
            return value
        raise value

    def set_result_handler(self, sink: Callable[[Sequence[Frame | bytes]], None]) -> None:
        """Pass the results of posted calls to ``sink``: RESULT frames, small ones as the bodies alone."""
        self._sink = sink
        self._inbox.expected = (sink,)  # always: what is on its way may be what the program waits for

    def post_calls(self, calls: Iterable[_Posted]) -> list[tuple[_Posted, EncodeError]]:
        """
        Send calls of the peer's functions without waiting for room or for results; see `set_result_handler`.

        Args:
            calls: each gets its ``call_id``. Mutable buffers in their arguments belong to the channel until the
                answer is there.

        Returns:
            The calls that can't be sent, and why.

        Raises:
            EndOfChannel, ConnectionLost, ChannelClosed: see `call`; none was sent.
        """
        if self._refuse is not None:
            raise self._refuse.with_traceback(None)
        self._check_receiving()
        rejected: list[tuple[_Posted, EncodeError]] = []
        frames: list[bytes] = []
        for call in calls:
            call.call_id = call_id = next(self._call_ids)
            try:
                body, buffers = codec.encode_call(call_id, call.function, call.args, call.kwargs)
                size = len(body)
                if buffers or size > self._max_body:
                    self.check_size(size, sum(map(len, buffers)))
            except EncodeError as error:
                rejected.append((call, EncodeError(_in_arguments(error.place), error.reason)))
                continue
            if buffers:
                self._inbox.retry()
                self._outbox.put_batch(frames)
                frames = []
                self._outbox.put_large(wire.encode_frame(FrameType.CALL, body, buffers), None)
            else:
                frames.append((_HEADS[size] if size < 256 else wire.encode_header(FrameType.CALL, size)) + body)
        self._outbox.put_batch(frames)
        return rejected

    def cancel_call(self, call_id: int) -> None:
        """Ask the peer to stop a call that was posted; its answer then comes or doesn't."""
        self.post_frame(FrameType.CANCEL, msgpack.packb([call_id]))

    def revoke(self, call_id: int) -> None:
        """Revoke a call that was posted: its result is `REVOKED` if it has not begun, else the usual one."""
        self.post_frame(FrameType.CANCEL, msgpack.packb([call_id, True]))

    @property
    def has_room(self) -> bool:
        """True when `send` would not wait for the peer to read."""
        return not self._outbox.full

    async def recv_call(self) -> Call:
        """Receive the next call that the peer has requested; see `recv_calls`."""
        return (await self.recv_calls(1))[0]

    async def recv_calls(self, most: int) -> list[Call]:
        """
        Receive the calls that the peer has requested: at least one, and as many as have arrived.

        Cancelling it leaves them first in line.

        Args:
            most: how many at the most.

        Raises:
            ProtocolError: a message came instead.
            EndOfChannel, ConnectionLost, BusyError, ChannelClosed: see `recv`.
        """
        calls: list[Call] = []
        while not calls:
            await self._wait_for_frame()
            calls = self._take_calls(most)
        return calls

    def _take_calls(self, most: int) -> list[Call]:
        inbox, calls, size = self._inbox, list[Call](), 0
        frames = inbox.frames
        while frames and len(calls) < most:
            frame = wire.frame_of(frames[0])
            if frame[0] != _CALL:
                if calls:
                    break  # the error follows the calls before it
                inbox.consumed(wire.frame_of(frames.popleft()))
                raise ProtocolError(_NO_MESSAGES)
            frames.popleft()
            _, body, buffers = frame
            if buffers or len(body) > _SMALL:
                inbox.consumed(frame)
            else:
                size += wire.HEADER_SIZE + len(body)
            try:
                call_id, name, args, kwargs = codec.decode(body, buffers)
                calls.append(_new(Call, (call_id, name, args, kwargs)))
            except Exception as error:
                self._decline(frame, "DecodeError", f"a call that cannot be decoded here: {error}")
        inbox.taken += size
        inbox.resume()
        return calls

    async def send_result(self, call_id: int, ok: bool, value: Any) -> None:
        """
        Send the result of a call.

        Args:
            call_id: the call's ``id``.
            ok: True with the returned value, False with an error map.
            value: the one or the other.

        Raises:
            EncodeError: the value cannot be sent; nothing was sent.
        """
        body, buffers = codec.encode_result(call_id, ok, value)
        await self.send_encoded(FrameType.RESULT, body, buffers)

    def share_writing(self, lock: threading.Lock) -> Outbox:
        """Write everything that this side sends under a lock; returns what holds the bytes that wait."""
        self._outbox.share(lock)
        return self._outbox

    # Inside

    def _decline(self, call: Frame, type: str, message: str) -> None:
        """Send an error as a call's result, without waiting for room: two sides that did would wait for each other."""
        self._declined = self._declined + 1 if self._outbox.full else 0
        if self._declined > _MOST_DECLINED:
            self._fail(ProtocolError(f"the peer has read no answer to its last {_MOST_DECLINED:,} calls"))
            return
        answer = [call_id_of(call.body), False, {"type": type, "message": message}]
        self.post_frame(FrameType.RESULT, msgpack.packb(answer))

    async def send_encoded(self, type: int, body: bytes, buffers: tuple[Any, ...]) -> None:
        """
        Send a frame, or a message that was encoded before; see `Channel.send`.

        Raises:
            EncodeError: it is larger than the peer accepts.
        """
        if self._outbox.held:
            await self._wait_for_room()
        await self._send_large(type, body, buffers)

    async def _send_large(self, type: int, body: bytes, buffers: tuple[Any, ...]) -> None:
        """Send a frame that has buffers, or that may be too large; returns when the buffers are the caller's again."""
        self.check_size(len(body), sum(map(len, buffers)))
        if not buffers:
            self._outbox.put(wire.encode_header(type, len(body)) + body)
            return
        mutable = any(not isinstance(view.obj, bytes) for view in buffers)
        done = self._loop.create_future() if mutable else None
        sendings = self._outbox.put_large(wire.encode_frame(type, body, buffers), done)
        if done is None or done.done():
            return
        try:
            await done
        except asyncio.CancelledError:
            for sending in sendings:
                sending.keep()
            raise

    def check_size(self, body: int, buffers: int) -> None:
        """
        Raise an error for a message that the peer would not accept.

        Raises:
            EncodeError: the body, or the buffers together, have too many bytes.
        """
        if body > self._max_body or buffers > self._max_buffers:
            raise EncodeError(
                "$",
                f"the message has {body:,} bytes and {buffers:,} bytes of buffers; the peer accepts {self._max_body:,} "
                f"and {self._max_buffers:,} (PARCS_MAX_BODY and PARCS_MAX_BUFFERS there raise it)",
            )

    def _take(self, frame: Frame) -> bool:
        if frame.type == FrameType.RESULT:
            self._inbox.consumed(frame)
            self._take_results([frame])
            return True
        if frame.type != FrameType.CANCEL:
            return super()._take(frame)
        self._inbox.consumed(frame)
        heed = self.on_recall if len(frame.body) and frame.body[0] == _RECALL else self.on_cancel
        if heed:
            heed(call_id_of(frame.body))
        return True

    def _take_results(self, results: Sequence[Frame | bytes]) -> None:
        if self._sink is not None and not self._calls:
            self._sink(results)
            return
        for result in results:
            body = result if isinstance(result, bytes) else result.body
            future = self._calls.get(call_id_of(body))
            if future is None and self._sink is not None:
                self._sink([result])
            elif future is not None and not future.done():
                future.set_result(Frame(FrameType.RESULT, body) if result is body else wire.frame_of(result))

    def _finish(self, error: Any) -> None:
        super()._finish(error)
        for future in self._calls.values():
            if not future.done():
                future.set_result(None)


def _in_arguments(place: str) -> str:
    """Return a place in a CALL as its caller knows it."""
    return re.sub(r"^\$\[[23]\]\[?([^\].]*)\]?", r"argument \1", place).replace("argument .", "argument ")
