"""The rarer ways to receive a message: from a frame with buffers, by another route, or into memory of the caller's."""

from __future__ import annotations

from typing import Any

from aioparcs import codec, wire
from aioparcs.channel.calls import CallServer
from aioparcs.channel.connection import RECEIVING, FrameConnection, InlineFuture
from aioparcs.errors import DecodeError, ProtocolError
from aioparcs.wire import Frame, FrameType

__all__ = ["NO_MESSAGES", "MessageReceiver"]

# What stands in line and is no message yet: a call, and the place of a message that comes another way.
NO_MESSAGES = frozenset({FrameType.CALL, FrameType.RELAY})

# How a program that receives messages answers calls.
_NO_CALLS = "LookupError", "this service takes no calls: it is a class, so send() to it; or serve functions"


class MessageReceiver:
    """
    The receiver of messages that `Channel.recv` doesn't decode by itself.

    Args:
        connection: where they come from.
        calls: what answers the calls that are in line among them.
    """

    def __init__(self, connection: FrameConnection, calls: CallServer) -> None:
        self._connection = connection
        self._inbox = connection.inbox
        self._frames = connection.inbox.frames
        self._calls = calls

    async def wait_behind(self, frame: Frame) -> Frame:
        """Decline a call that was first in line, or put a place back; return the next frame that is a message."""
        while frame.type in NO_MESSAGES:
            if frame.type == FrameType.CALL:
                self._inbox.consumed(frame)
                self._calls.decline(frame, *_NO_CALLS)
            else:
                self._frames.appendleft(frame)
                await self._wait_for_relayed()
            await self._inbox.wait()
            frame = wire.frame_of(self._frames.popleft())
        return frame

    def decode(self, frame: Frame) -> Any:
        """Return the message of a frame that was taken."""
        self._inbox.consumed(frame)
        if frame.type == FrameType.MSG:
            return codec.decode(frame.body, frame.buffers)
        if frame.type == FrameType.RAW:
            return codec.decode_raw(frame.body, frame.buffers[0])
        if frame.type == FrameType.JSON:
            return codec.decode_json(frame.body)
        if frame.type == FrameType.ERROR:
            raise _missing(frame)
        error = ProtocolError(f"a frame of type {frame.type} is not allowed on a channel")
        self._connection.fail(error)
        raise error

    async def recv_into(self, buffer: Any) -> int:
        """Receive the next message into a buffer; see `Channel.recv_into`."""
        inbox, target = self._inbox, memoryview(buffer).cast("B")
        if target.readonly:
            raise TypeError("recv_into needs a writable buffer")
        if inbox.waiter is not None:
            inbox.prepare_wait()  # raises: the other receiver's target must stay
        receive_target = self._connection.reader.target
        receive_target.set(target)
        try:
            frame = await self._wait_for_bytes()
        except BaseException:
            receive_target.withdraw(self._connection.reader.decoder)
            raise
        receive_target.set(None)
        source = _raw_buffer(frame)
        if len(source) > len(target):
            raise ValueError(f"the message has {len(source):,} bytes, the buffer only {len(target):,}")
        if source.obj is not target.obj:
            target[: len(source)] = source
        self._frames.popleft()
        inbox.consumed(frame)
        return len(source)

    async def _wait_for_bytes(self) -> Frame:
        """Wait until the first in line is a message that may be bytes, and return it; it stays there."""
        while True:
            await self._inbox.wait()
            frame = wire.frame_of(self._frames[0])
            if frame.type == FrameType.RELAY:
                await self._wait_for_relayed()
            elif frame.type == FrameType.CALL:
                self._calls.decline(await self._connection.recv_frame(), *_NO_CALLS)
            elif frame.type == FrameType.ERROR:
                raise _missing(await self._connection.recv_frame())
            else:
                return frame

    async def _wait_for_relayed(self) -> None:
        """Wait until the first message in line has arrived another way, or never will, or is gone."""
        inbox, frames = self._inbox, self._frames
        while frames and wire.frame_of(frames[0]).type == FrameType.RELAY:
            inbox.waiter = InlineFuture(loop=inbox.loop)
            try:
                RECEIVING.retry()  # it may wait for memory, which who receives it gets
                await inbox.waiter
            finally:
                inbox.waiter = None


def _raw_buffer(frame: Frame) -> memoryview:
    if frame.type == FrameType.RAW:
        return memoryview(frame.buffers[0]).cast("B")
    if frame.type == FrameType.MSG:
        value = codec.decode(frame.body, frame.buffers)
        if isinstance(value, bytes):
            return memoryview(value)
        if hasattr(value, "__array_interface__"):
            return memoryview(value.tobytes())
    raise TypeError("the next message is neither bytes nor an array; receive it with recv()")


def _missing(frame: Frame) -> DecodeError:
    return DecodeError(f"a broadcast message did not arrive: {bytes(frame.body).decode()}")
