"""Messages over one link: the channel that programs use."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, NamedTuple

import msgpack

from aioparcs import codec, wire
from aioparcs.channel.budget import RECEIVING
from aioparcs.channel.sideband import Sideband
from aioparcs.channel.waiter import InlineFuture
from aioparcs.errors import DecodeError, ProtocolError
from aioparcs.settings import Settings
from aioparcs.wire import Frame, FrameType

__all__ = ["Channel", "Statistics"]

# How a program that receives messages answers calls.
_NO_CALLS = "LookupError", "this service takes no calls: it is a class, so send() to it; or serve functions"
# What stands in line and is no bytes: a call, the place of a message that comes another way, or that it never will.
_NO_BYTES = frozenset({FrameType.CALL, FrameType.RELAY, FrameType.ERROR})
_unpack = msgpack.unpackb
_extension = codec.extension
_header = wire.encode_header
_pack_head = wire.pack_head
# The headers of the smallest messages, made once: a look-up is half the price of packing one.
_HEADS = 256
_V1_HEADS, _MSG_HEADS = ([_header(type, size) for size in range(_HEADS)] for type in (FrameType.JSON, FrameType.MSG))


class Statistics(NamedTuple):
    """
    The counters and the state of a channel.

    Attributes:
        messages_sent: frames written, calls and pings included.
        messages_received: messages taken by the receiver.
        bytes_sent: bytes written.
        bytes_received: bytes that arrived.
        bytes_unsent: bytes that wait to be written.
        bytes_unread: bytes that arrived and were not received yet.
        state: ``open``, ``ending`` (one side said goodbye) or ``closed``.
        age: seconds since the channel was opened.
    """

    messages_sent: int
    messages_received: int
    bytes_sent: int
    bytes_received: int
    bytes_unsent: int
    bytes_unread: int
    state: str
    age: float


class Channel(Sideband):
    """
    The two-way, ordered message stream between two programs.

    Each message arrives whole and in order, or the channel ends with an error. ``docs/channel.md`` has all the
    promises.

    Args:
        reader: the reading end of a connection that is past its handshake.
        writer: its writing end. The channel owns both from now on.
        settings: limits and deadlines; the defaults if None.
        version: 2, or 1 for the original wire, whose messages are what JSON can hold.
        peer_limits: bytes that the peer accepts in a body, and in the buffers of a message; this side's own
            limits if None.
        peer: the number of the worker at the other end, if that is another one's peer; errors name it.

    Attributes:
        peer: the same; None at the ends of the channel between a worker and the program that started it.
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
        self._received = 0
        super().__init__(reader, writer, settings=settings, version=version, peer_limits=peer_limits, peer=peer)
        self._opened = self._loop.time()
        self._frames = self._inbox.frames
        self._head = 0 if version == 1 else FrameType.MSG << 56
        self._heads = _V1_HEADS if version == 1 else _MSG_HEADS
        self._encode_plain = codec.encode_json if version == 1 else codec.encode_plain

    def __repr__(self) -> str:
        return f"<Channel {self.statistics().state}>"

    async def send(self, message: Any) -> None:
        """
        Send one message; returns when it is accepted, which is at once unless the peer is slow.

        A mutable buffer (a bytearray, a memoryview, an array) is read until this returns, and may be changed then.
        Cancelling it while it waits for room means that the message was not sent; cancelling it while a large
        mutable buffer is on its way delivers the message anyway, from a copy of what is unsent.

        Args:
            message: None, bool, int, float, str, bytes, list, tuple, dict with str, int or bytes keys, aware
                datetime, NumPy arrays and scalars, `Address`, registered types, nested at will.

        Raises:
            EncodeError: something in it cannot be sent, or it is larger than the peer accepts.
            ChannelClosed: this end is closed.
            EndOfChannel: the peer has ended the channel.
            ConnectionLost: the connection broke.
        """
        outbox = self._outbox
        if outbox.held:
            await self._wait_for_room()
        plain = self._encode_plain(message)
        if plain is not None:
            size = len(plain)
            if size > self._max_body:
                self.check_size(size, 0)
            frame = (self._heads[size] if size < _HEADS else _pack_head(self._head | size)) + plain
            if outbox.idle:  # what put() does, without the call
                outbox.idle = False
                outbox.frames += 1
                outbox.written += len(frame)
                outbox.write(frame)
            else:
                outbox.put(frame)
            return
        raw, body, buffers = codec.encode(message)
        await self._send_large(FrameType.RAW if raw else FrameType.MSG, body, buffers)

    async def send_all(self, *messages: Any) -> None:
        """Send several messages, one after the other; see `send`."""
        for message in messages:
            await self.send(message)

    def recv(self) -> Coroutine[Any, Any, Any]:
        """
        Receive the next message.

        Cancelling it leaves the message first in line.

        Raises:
            EndOfChannel: the peer ended the channel, and everything that it sent was received.
            RemoteError: the peer's program failed; also the builtin exception that it was.
            ConnectionLost: the connection broke, and everything that arrived was received.
            DecodeError: the message cannot be decoded here; the next one can be received.
            BusyError: another coroutine is receiving.
            ChannelClosed: this end is closed.
        """
        return self._recv()

    async def recv_into(self, buffer: Any) -> int:
        """
        Receive the next message, which must be ``bytes`` or an array, into memory of your own.

        A large one is received straight into it. Cancelling it leaves the message first in line, and the buffer
        with any content.

        Args:
            buffer: a writable, contiguous buffer.

        Returns:
            The number of bytes that were filled.

        Raises:
            ValueError: the buffer is too small; the message stays first in line.
            TypeError: the message is neither bytes nor an array; it stays first in line.
            EndOfChannel, RemoteError, ConnectionLost, BusyError, ChannelClosed: see `recv`.
        """
        target = memoryview(buffer).cast("B")
        if target.readonly:
            raise TypeError("recv_into needs a writable buffer")
        self._check_alone()
        self._inbox.aim(target)
        try:
            await self._wait_for_frame()
            while (frame := wire.frame_of(self._frames[0])).type in _NO_BYTES:
                if frame.type == FrameType.CALL:
                    self._decline(await self.recv_frame(), *_NO_CALLS)
                elif frame.type == FrameType.RELAY:
                    await self._wait_for_relayed()
                else:
                    raise _not_come(await self.recv_frame())
                await self._wait_for_frame()
        except BaseException:
            self._inbox.withdraw()
            raise
        self._inbox.aim(None)
        source = self._raw_buffer(frame)
        if len(source) > len(target):
            raise ValueError(f"the message has {len(source):,} bytes, the buffer only {len(target):,}")
        if not _same_memory(source, target):
            target[: len(source)] = source
        self._frames.popleft()
        self._received += 1
        self._inbox.consumed(frame)
        return len(source)

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    def __anext__(self) -> Coroutine[Any, Any, Any]:
        return self._recv(stop=True)

    async def __aenter__(self) -> Channel:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            await self.aclose()
        else:
            self.abort()

    @property
    def is_ready(self) -> bool:
        """True when `recv` would not wait, or only for a large message that waits for memory itself."""
        return self._inbox.ready

    def watch(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call ``callback`` whenever something arrives; returns what undoes it."""
        return self._inbox.watch(callback)

    def statistics(self) -> Statistics:
        """Return the statistics of this channel."""
        if self._lost.done():
            state = "closed"
        else:
            state = "ending" if self._inbox.end or self._refuse else "open"
        outbox, inbox = self._outbox, self._inbox
        age = self._loop.time() - self._opened
        return Statistics(
            outbox.frames, self._received, outbox.written, inbox.bytes, outbox.size, inbox.unread, state, age
        )

    # Inside

    async def _recv(self, *, stop: bool = False) -> Any:
        """Receive a message; with ``stop`` the peer's goodbye stops an iteration."""
        inbox, frames = self._inbox, self._frames
        # The body of _wait_for_frame once more: a coroutine in between would cost a twentieth of a round trip.
        while not frames or inbox.waiter is not None:
            if inbox.alert or inbox.waiter is not None:
                self._look(stop=stop)
            if not frames:
                inbox.waiter = InlineFuture(loop=self._loop)
                try:
                    await inbox.waiter
                finally:
                    inbox.waiter = None
        item = frames.popleft()
        self._received += 1
        if type(item) is not bytes:
            return await self._recv_frame(item)  # type: ignore[arg-type]  # not bytes, so it is a Frame
        inbox.taken += wire.HEADER_SIZE + len(item)
        if inbox.paused:
            inbox.resume()
        try:  # the first half of `codec.decode` once more: the call costs a fiftieth of what receiving does
            return _unpack(item, strict_map_key=False, timestamp=3, ext_hook=_extension)
        except Exception:
            pass
        return codec.decode_checked(item)

    async def _recv_frame(self, frame: Frame) -> Any:
        """Return the message of a frame that isn't a small plain one."""
        while frame.type in (FrameType.CALL, FrameType.RELAY):
            if frame.type == FrameType.CALL:
                self._inbox.consumed(frame)
                self._decline(frame, *_NO_CALLS)
            else:
                self._frames.appendleft(frame)
                self._received -= 1
                await self._wait_for_relayed()
                self._received += 1
            await self._wait_for_frame()
            frame = wire.frame_of(self._frames.popleft())
        self._inbox.consumed(frame)
        if frame.type == FrameType.MSG:
            return codec.decode(frame.body, frame.buffers)
        if frame.type == FrameType.RAW:
            return codec.decode_raw(frame.body, frame.buffers[0])
        if frame.type == FrameType.JSON:
            return codec.decode_json(frame.body)
        if frame.type == FrameType.ERROR:
            raise _not_come(frame)
        error = ProtocolError(f"a frame of type {frame.type} is not allowed on a channel")
        self._fail(error)
        raise error

    async def _wait_for_relayed(self) -> None:
        """Wait until the first message in line has arrived another way, or never will, or is gone."""
        inbox, frames = self._inbox, self._frames
        while frames and wire.frame_of(frames[0]).type == FrameType.RELAY:
            inbox.waiter = InlineFuture(loop=self._loop)
            try:
                RECEIVING.retry()  # it may wait for memory, which who receives it gets
                await inbox.waiter
            finally:
                inbox.waiter = None

    @staticmethod
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


def _not_come(frame: Frame) -> DecodeError:
    return DecodeError(f"a broadcast message did not arrive: {bytes(frame.body).decode()}")


def _same_memory(source: memoryview, target: memoryview) -> bool:
    return source.obj is target.obj
