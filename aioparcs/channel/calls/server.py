"""The server of calls: the peer's calls of functions of this side, over one connection."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import msgpack

from aioparcs import codec, wire
from aioparcs.channel.calls.results import call_id_of
from aioparcs.channel.connection import FrameConnection
from aioparcs.errors import ProtocolError
from aioparcs.wire import LIMITED, REVOKED, STREAM, Frame, FrameType

__all__ = [
    "CONCURRENCY",
    "LIMITED",
    "MEMORY",
    "NO_FUNCTION",
    "REVOKED",
    "STREAM",
    "TRACING",
    "VERSION",
    "Call",
    "CallServer",
]

# A function that every worker of this package serves: it sets how many of the channel's calls run at once. The type of
# the error that answers it where the function is missing that its second argument names.
CONCURRENCY, NO_FUNCTION = "aioparcs.concurrency", "aioparcs.NoFunction"
# Another one: it returns how much memory the worker has, between two calls of plain functions.
MEMORY = "aioparcs.memory"
# Another one: it returns whether calls here are spans of a trace by now.
TRACING = "aioparcs.tracing"
# And another: it returns what a function is, for journals.
VERSION = "aioparcs.version"
_REVOCATION = 0x92  # the head of a list of two: the id, and true
_SMALL = 1 << 16
# Answers that a peer may leave unread, once its queue here is full.
_MOST_DECLINED = 10_000
# Cancellations that are kept until there is a handler for them.
_EARLY = 1024
_CALL = FrameType.CALL
_new = tuple.__new__  # a named tuple without the detour through its own constructor
_NO_MESSAGES = "a message came to a program that only answers calls: use call() instead of send()"


class Call(NamedTuple):
    """
    A call of a function that the peer has requested.

    Attributes:
        id, name, args, kwargs: as the peer has sent them.
        context: its trace context, or whatever the peer has sent in place of one; None for none.
    """

    id: int
    name: str
    args: list[Any]
    kwargs: dict[str, Any]
    context: Any = None


class CallServer:
    """
    The calls that the peer makes.

    Args:
        connection: what they travel over.

    Attributes:
        connection: the same.
        on_cancel: called with the id of a call that the peer has cancelled, or None.
        on_revoke: called with the id of a call that the peer revokes unless it has begun, or None.
        on_credit: called with the id of a stream, and how many of its items the peer has taken, or None.
    """

    def __init__(self, connection: FrameConnection) -> None:
        self.connection = connection
        self.on_cancel: Callable[[int], object] | None = None
        self.on_revoke: Callable[[int], object] | None = None
        self.on_credit: Callable[[int, int], object] | None = None
        self._early: list[Frame] = []
        self._declined = 0  # calls that were answered while the peer read nothing
        connection.add_handler(FrameType.CANCEL, self._handle_cancel)
        connection.add_handler(FrameType.CREDIT, self._handle_credit)

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
            EndOfChannel, ConnectionLost, BusyError, ChannelClosed: see `Channel.recv`.
        """
        calls: list[Call] = []
        while not calls:
            await self.connection.inbox.wait()
            calls = self._take_calls(most)
        return calls

    def _take_calls(self, most: int) -> list[Call]:
        inbox, calls, size = self.connection.inbox, list[Call](), 0
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
                fields, context = codec.decode(body, buffers), None
                if len(fields) == 4:  # nearly always
                    call_id, name, args, kwargs = fields
                else:
                    call_id, name, args, kwargs, context = fields
                calls.append(_new(Call, (call_id, name, args, kwargs, context)))
            except Exception as error:
                self.decline(frame, "DecodeError", f"a call that cannot be decoded here: {error}")
        inbox.taken += size
        inbox.resume()
        return calls

    async def send_result(self, call_id: int, ok: bool | None, value: Any) -> None:
        """
        Send the result of a call.

        Args:
            call_id: the call's ``id``.
            ok: True with the returned value, False with an error map, None with an item of a stream.
            value: the one or the other.

        Raises:
            EncodeError: the value cannot be sent; nothing was sent.
        """
        body, buffers = codec.encode_result(call_id, ok, value, self.connection.extensions)
        await self.connection.sender.send(FrameType.RESULT, body, buffers)

    def decline(self, call: Frame, type: str, message: str) -> None:
        """Send an error as a call's result, without waiting for room: two sides that did would wait for each other."""
        self._declined = self._declined + 1 if self.connection.outbox.full else 0
        if self._declined > _MOST_DECLINED:
            self.connection.fail(ProtocolError(f"the peer has read no answer to its last {_MOST_DECLINED:,} calls"))
            return
        answer = [call_id_of(call.body), False, {"type": type, "message": message}]
        self.connection.post_frame(FrameType.RESULT, msgpack.packb(answer))

    def handle_early(self) -> None:
        """Handle the cancellations that came before their handlers were set, as while a worker's program starts."""
        while self._early:
            self._handle_cancel(self._early.pop(0))

    def _handle_cancel(self, frame: Frame) -> None:
        is_revoked = len(frame.body) and frame.body[0] == _REVOCATION
        handler = self.on_revoke if is_revoked else self.on_cancel
        if handler:
            handler(call_id_of(frame.body))
        else:
            self._early.append(frame)
            del self._early[:-_EARLY]

    def _handle_credit(self, frame: Frame) -> None:
        try:
            call_id, taken = msgpack.unpackb(frame.body)
        except Exception:
            self.connection.fail(ProtocolError("a CREDIT is [id, how many items were taken]"))
            return
        if self.on_credit and type(call_id) is int and type(taken) is int:
            self.on_credit(call_id, taken)
