"""The channel that programs use: messages over one connection, and the parts for all else that it carries."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, NamedTuple

import msgpack

from aioparcs import codec, wire
from aioparcs.channel.barriers import Barriers
from aioparcs.channel.calls import CallClient, CallServer
from aioparcs.channel.connection import ConnectionState, FrameConnection, InlineFuture
from aioparcs.channel.messages import NO_MESSAGES, MessageReceiver
from aioparcs.channel.relays import RelayControl
from aioparcs.errors import ParcsError
from aioparcs.settings import Settings
from aioparcs.telemetry import find_tracer, traced
from aioparcs.wire import Frame, FrameType

__all__ = ["Channel", "Statistics"]

_DEFAULT = -1.0
_unpack = msgpack.unpackb
_extension, _short_extension = codec.extension, codec.short_extension
_header = wire.encode_header
_pack_head = wire.pack_head
# The headers of the smallest messages, made once: a look-up is half the price of packing one.
_HEADS = 256
_V1_HEADS, _MSG_HEADS = ([_header(type, size) for size in range(_HEADS)] for type in (FrameType.JSON, FrameType.MSG))
# The names of the states in `Statistics`.
_STATES = {ConnectionState.OPEN: "open", ConnectionState.CLOSED: "closed"}


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


class Channel:
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
        peer_memory: how the peer's shared memory is reached, if it has said so.

    Attributes:
        peer: the same; None at the ends of the channel between a worker and the program that started it.
        connection: the connection itself, for what is built upon it; so are the next ones.
        calls: the calls that this side makes.
        call_server: the calls that the peer makes.
        barriers: points that both sides come to before either goes on.
        relays: the control of messages that come another way.
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
        peer_memory: tuple[int, int, bytes] | None = None,
    ) -> None:
        self.peer = peer
        self.connection = connection = FrameConnection(
            reader, writer, settings=settings, version=version, peer_limits=peer_limits, peer=peer
        )
        connection.reader.share_memory(peer_memory)  # before what has arrived is read: it may be the question
        self.calls = CallClient(connection)
        self.call_server = CallServer(connection)
        self.barriers = Barriers(connection)
        self.relays = RelayControl(connection)
        self._messages = MessageReceiver(connection, self.call_server)
        # What each message needs is one look-up away.
        self._inbox = connection.inbox
        self._outbox = connection.outbox
        self._max_body = connection.sender.max_body
        self._received = 0
        self._head = 0 if version == 1 else FrameType.MSG << 56
        self._heads = _V1_HEADS if version == 1 else _MSG_HEADS
        self._encode_plain = codec.encode_json if version == 1 else codec.encode_plain
        connection.start()

    def __repr__(self) -> str:
        return f"<Channel {self.statistics().state}>"

    async def send(self, message: Any) -> None:
        """
        Send one message; returns when it is accepted, which is at once unless the peer is slow.

        A mutable buffer (a bytearray, a memoryview, an array) is read until this returns, and may be changed then.
        Cancelling it while it waits for room means that the message was not sent; cancelling it while a large
        mutable buffer is on its way delivers the message anyway, from a copy of what is unsent.

        Args:
            message: values of Python's own types, NumPy arrays and scalars, `Address`, tables, registered types,
                nested at will; ``docs/tutorial.md`` lists them.

        Raises:
            EncodeError: something in it cannot be sent, or it is larger than the peer accepts.
            ChannelClosed: this end is closed.
            EndOfChannel: the peer has ended the channel.
            ConnectionLost: the connection broke.
        """
        outbox = self._outbox
        if outbox.blocked:
            await self.connection.sender.wait_for_room()
        plain = self._encode_plain(message)
        if plain is not None:
            size = len(plain)
            if size > self._max_body:
                self.connection.sender.check_size(size, 0)
            frame = (self._heads[size] if size < _HEADS else _pack_head(self._head | size)) + plain
            if outbox.idle:  # what put() does, without the call
                outbox.idle = False
                outbox.frames += 1
                outbox.written += len(frame)
                outbox.write(frame)
            else:
                outbox.put(frame)
            return
        raw, body, buffers = codec.encode(message, self.connection.extensions)
        await self.connection.sender.send_large(FrameType.RAW if raw else FrameType.MSG, body, buffers)

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
        count = await self._messages.recv_into(buffer)
        self._received += 1
        return count

    def call(self, name: str, /, *args: Any, **kwargs: Any) -> Coroutine[Any, Any, Any]:
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
        result, tracer = self.calls.call(name, *args, **kwargs), find_tracer()
        if tracer is None or self.peer is None:
            return result
        return traced(tracer, "", name, self.peer, result)

    def barrier(self) -> Coroutine[Any, Any, None]:
        """
        Report to the peer that this side is at a barrier, and wait until the peer lets it pass.

        Messages that arrive meanwhile are kept, however many. Cancelling it while it waits to pass doesn't take back
        that this side has come: the next barrier is the next one.

        Raises:
            RemoteError: another worker that the peer waits for will never come.
            EndOfChannel, ConnectionLost, ChannelClosed: see `recv`.
        """
        return self.barriers.enter()

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    def __anext__(self) -> Coroutine[Any, Any, Any]:
        return self._recv(stop=True)

    def send_eof(self) -> Coroutine[Any, Any, None]:
        """End sending; the peer's `recv` raises `EndOfChannel`, and it can still send."""
        return self.connection.send_eof()

    def aclose(self, timeout: float | None = _DEFAULT) -> Coroutine[Any, Any, None]:
        """
        End the channel: deliver what was sent, say goodbye, wait for the peer's goodbye, close.

        What the peer sent and this side has not received is discarded. Cancelling it ends the channel at once.

        Args:
            timeout: seconds after which the end is an abrupt one; ``close_timeout`` by default, None to wait
                for as long as the peer takes to read what was sent.
        """
        return self.connection.aclose(timeout)

    def abort(self, reason: ParcsError | None = None) -> None:
        """
        End the channel at once; what isn't delivered is lost.

        Args:
            reason: what `recv` (once it has returned what arrived) and `send` raise from then on. None: this end
                has discarded the rest, and both raise `ChannelClosed`.
        """
        self.connection.abort(reason)

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
        return self._inbox.is_ready

    def watch(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call ``callback`` whenever something arrives; returns what undoes it."""
        return self._inbox.watch(callback)

    def statistics(self) -> Statistics:
        """Return the statistics of this channel."""
        connection, outbox, inbox = self.connection, self._outbox, self._inbox
        state = _STATES.get(connection.state, "ending")
        age = inbox.loop.time() - connection.opened
        sent, unsent = outbox.written + outbox.loans.saved, outbox.size + outbox.loans.size
        return Statistics(outbox.frames, self._received, sent, inbox.bytes, unsent, inbox.unread, state, age)

    @property
    def frames_received(self) -> int:
        """The number of frames received so far: messages that were taken, and what else has come, such as results."""
        return self._received + self._inbox.passed

    # Inside

    async def _recv(self, *, stop: bool = False) -> Any:
        """Receive a message; with ``stop`` the peer's goodbye stops an iteration."""
        inbox = self._inbox
        frames = inbox.frames
        # The body of `Inbox.wait` once more: a coroutine in between would cost a twentieth of a round trip.
        while not frames or inbox.waiter is not None:
            if inbox.alert or inbox.waiter is not None:
                inbox.prepare_wait(stop=stop)
            if not frames:
                inbox.waiter = InlineFuture(loop=inbox.loop)
                try:
                    await inbox.waiter
                finally:
                    inbox.waiter = None
        item = frames.popleft()
        if type(item) is not bytes:
            return await self._recv_frame(item)  # type: ignore[arg-type]  # not bytes, so it is a Frame
        self._received += 1
        size = len(item)
        inbox.taken += wire.HEADER_SIZE + size
        if inbox.paused:
            inbox.resume()
        try:  # the first half of `codec.decode` once more: the call costs a fiftieth of what receiving does
            hook = _extension if size > codec.SHORT else _short_extension
            return _unpack(item, strict_map_key=False, timestamp=3, ext_hook=hook)
        except Exception:
            pass
        return codec.decode_checked(item)

    async def _recv_frame(self, frame: Frame) -> Any:
        """Return the message of a frame that isn't a small plain one."""
        if frame.type in NO_MESSAGES:
            frame = await self._messages.wait_behind(frame)
        self._received += 1
        return self._messages.decode(frame)
