"""Calls of functions over one link, both ways, and frames that carry buffers."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import msgpack

from aioparcs import codec, wire
from aioparcs.channel.failure import read_error
from aioparcs.channel.link import Link
from aioparcs.errors import DecodeError, EncodeError, ProtocolError
from aioparcs.settings import Settings
from aioparcs.wire import Frame, FrameType

__all__ = ["Call", "Calls"]


class Call(NamedTuple):
    """A call of a function that the peer asks for."""

    id: int
    name: str
    args: list[Any]
    kwargs: dict[str, Any]


class Calls(Link):
    """
    A link that also carries calls.

    Args:
        reader: the reading end of a connection that is past its handshake.
        writer: its writing end.
        settings: limits and deadlines; the defaults if None.
        version: 2, or 1 for the original wire, which has no calls.
        peer_limits: bytes that the peer accepts in a body, and in the buffers of a message; this side's own
            limits if None.

    Attributes:
        on_cancel: called with the id of a call that the peer doesn't want any more, or None.
    """

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        settings: Settings | None = None,
        version: int = 2,
        peer_limits: tuple[int, int] | None = None,
    ) -> None:
        self._calls: dict[int, asyncio.Future[Frame | None]] = {}
        self._call_ids = itertools.count()
        self.on_cancel: Callable[[int], None] | None = None
        super().__init__(reader, writer, settings=settings, version=version)
        self._max_body, self._max_buffers = peer_limits or (self._settings.max_body, self._settings.max_buffers)
        self._inbox.expected = self._calls

    async def call(self, name: str, /, *args: Any, **kwargs: Any) -> Any:
        """
        Have the peer call one of its functions.

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
        body, buffers = codec.encode_inline([call_id := next(self._call_ids), name, args, kwargs])
        if self._outbox.held:
            await self._wait_for_room()
        self._check_receiving()
        future = self._calls[call_id] = self._loop.create_future()
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
        result = codec.decode(frame.body, frame.buffers)
        if type(result) is not list or len(result) != 3:
            raise DecodeError("the peer's answer to a call is none")
        if result[1]:
            return result[2]
        raise read_error(result[2])

    async def recv_call(self) -> Call:
        """
        Receive the next call that the peer asks for.

        Cancelling it leaves the call first in line.

        Raises:
            ProtocolError: a message came instead.
            EndOfChannel, ConnectionLost, BusyError, ChannelClosed: see `recv`.
        """
        while True:
            frame = await self.recv_frame()
            if frame.type != FrameType.CALL:
                raise ProtocolError("a message came to a program that only answers calls: use call() instead of send()")
            try:
                return Call(*codec.decode(frame.body, frame.buffers))
            except (DecodeError, TypeError) as error:
                self._decline(frame, "DecodeError", str(error))

    async def send_result(self, call_id: int, ok: bool, value: Any) -> None:
        """
        Answer a call.

        Args:
            call_id: the call's ``id``.
            ok: True with the returned value, False with an error map.
            value: the one or the other.

        Raises:
            EncodeError: the value has no form on the wire; nothing was sent.
        """
        body, buffers = codec.encode_inline([call_id, ok, value])
        await self._send_frame(FrameType.RESULT, body, buffers)

    # Inside

    def _decline(self, call: Frame, type: str, message: str) -> None:
        """Answer a call with an error, without waiting for room: whoever cancels that wait would cost the answer."""
        answer = [_call_id(call.body), False, {"type": type, "message": message}]
        self.post_frame(FrameType.RESULT, msgpack.packb(answer))

    async def _send_frame(self, type: int, body: bytes, buffers: tuple[Any, ...]) -> None:
        if self._outbox.held:
            await self._wait_for_room()
        await self._send_large(type, body, buffers)

    async def _send_large(self, type: int, body: bytes, buffers: tuple[Any, ...]) -> None:
        """Send a frame that has buffers, or that may be too large; returns when the buffers are the caller's again."""
        self._check_size(len(body), sum(map(len, buffers)))
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

    def _check_size(self, body: int, buffers: int) -> None:
        if body > self._max_body or buffers > self._max_buffers:
            raise EncodeError(
                "$",
                f"the message has {body:,} bytes and {buffers:,} bytes of buffers; the peer accepts {self._max_body:,} "
                f"and {self._max_buffers:,} (PARCS_MAX_BODY and PARCS_MAX_BUFFERS there raise it)",
            )

    def _take(self, frame: Frame) -> bool:
        if frame.type == FrameType.RESULT:
            future = self._calls.get(_call_id(frame.body))
            if future and not future.done():
                future.set_result(frame)
        elif frame.type == FrameType.CANCEL:
            if self.on_cancel:
                self.on_cancel(_call_id(frame.body))
        else:
            return super()._take(frame)
        self._inbox.consumed(frame)
        return True

    def _finish(self, error: Any) -> None:
        super()._finish(error)
        for future in self._calls.values():
            if not future.done():
                future.set_result(None)


def _call_id(body: Any) -> int:
    """Read the id alone, the first element of the list, without decoding the rest."""
    unpacker = msgpack.Unpacker(max_buffer_size=0)
    unpacker.feed(bytes(body[:16]))
    try:
        unpacker.read_array_header()
        return int(unpacker.unpack())
    except Exception:
        return -1
