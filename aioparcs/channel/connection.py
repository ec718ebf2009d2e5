"""
Frames both ways over one connection: sending, liveness, and the end of each direction.

asyncio's streams opened the connection and carried the handshake; from here on the transport feeds the inbox
itself, and the outbox writes to the transport.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

from aioparcs import codec, wire
from aioparcs.channel.error_codec import decode_error
from aioparcs.channel.inbox import Inbox
from aioparcs.channel.outbox import Outbox
from aioparcs.channel.transport_protocols import bind_protocols, drain_reader
from aioparcs.channel.waiter import InlineFuture
from aioparcs.errors import BusyError, ChannelClosed, ConnectionLost, DecodeError, EndOfChannel, ParcsError, RemoteError
from aioparcs.settings import Settings
from aioparcs.wire import Frame, FrameType

__all__ = ["FrameConnection"]

_STILL_READING = b"\xc3"  # the body of a BYE whose sender goes on reading: MessagePack's true
_DEFAULT = -1.0
# Bytes of bodies, and what each frame counts for, after which `recv_frame` lets the loop turn, whatever has arrived.
_TURN, _FRAME = 16 << 10, 256


class FrameConnection:
    """
    One connection that carries frames.

    Args:
        reader: the connection's reading end; what it holds already is decoded first.
        writer: its writing end. The link owns both from now on.
        settings: limits and deadlines; the defaults if None.
        version: 2, or 1 for the original wire.
        peer: the number of the worker at the other end, if that is another one's peer; errors name it.

    Attributes:
        peer: the same.
    """

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        settings: Settings | None = None,
        version: int = 2,
        peer: int | None = None,
    ) -> None:
        self.peer = peer
        self._who = "the peer" if peer is None else f"worker {peer}"
        self._settings = settings = settings or Settings()
        self._loop = asyncio.get_running_loop()
        self._version = version
        self._writer = writer  # kept: when it is collected it closes the transport
        self._transport: asyncio.Transport = writer.transport  # type: ignore[assignment]  # it reads as well
        self._refuse: ParcsError | None = None  # why nothing more may be sent
        self._senders: deque[asyncio.Future[None]] = deque()
        self._said_bye = False
        self._unawaited = 0  # what was received since `recv_frame` has let the loop turn
        self._closed: ParcsError | None = None  # why this end doesn't receive any more
        self._closing: asyncio.Future[None] | None = None
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._lost: asyncio.Future[None] = self._loop.create_future()
        self._outbox = Outbox(self._loop, self._transport, settings.send_queue, self._room)
        self._inbox = Inbox(self._loop, self._transport, self._outbox, settings, version, self._take, self._fail)
        bind_protocols(self._inbox, self._outbox, self._eof, self._connection_lost)
        self._take_over(reader)

    @property
    def bytes_received(self) -> int:
        """Bytes that have arrived so far: a peer that is alive makes it grow."""
        return self._inbox.bytes

    async def send_frame(self, type: int, body: bytes = b"") -> None:
        """
        Send one frame, as soon as there is room.

        Cancelling it means that it was not sent.
        """
        if self._outbox.held:
            await self._wait_for_room()
        self._outbox.put(wire.encode_header(type, len(body)) + body)

    def post_frame(self, type: int, body: bytes = b"") -> None:
        """Send one small frame without waiting for room; nothing happens when nothing more can be sent."""
        if self._refuse is None:
            self._outbox.put(wire.encode_header(type, len(body)) + body)

    async def recv_frame(self) -> Frame:
        """
        Receive the next frame that is no ping, error or goodbye.

        Cancelling it leaves the frame first in line.

        Raises:
            EndOfChannel: the peer said goodbye.
            ConnectionLost: the connection broke.
            BusyError: another coroutine is receiving.
        """
        if self._unawaited > _TURN:
            self._unawaited = 0
            await asyncio.sleep(0)
        await self._wait_for_frame()
        frame = wire.frame_of(self._inbox.frames.popleft())
        self._unawaited += _FRAME + len(frame.body)
        self._inbox.consumed(frame)
        return frame

    async def _wait_for_frame(self) -> None:
        """Wait until there is a frame; raise the reason why there will never be one."""
        inbox = self._inbox
        while not inbox.frames or inbox.waiter is not None:
            if inbox.alert or inbox.waiter is not None:
                self._look()
            if not inbox.frames:
                inbox.waiter = InlineFuture(loop=self._loop)
                try:
                    await inbox.waiter
                finally:
                    inbox.waiter = None

    def _look(self, *, stop: bool = False) -> None:
        """Check that waiting for a frame makes sense, and reserve memory for a message that waits for it."""
        self._check_alone()
        if stop and not self._closed and isinstance(self._inbox.end, EndOfChannel):
            raise StopAsyncIteration
        self._check_receiving()
        self._inbox.want()

    def _check_receiving(self) -> None:
        end = self._closed or self._inbox.end
        if end is not None:
            raise end.with_traceback(None)

    def _check_alone(self) -> None:
        if self._inbox.waiter is not None:
            raise BusyError("another coroutine is receiving from this channel")

    # What the transport's protocol calls

    def _take_over(self, reader: asyncio.StreamReader) -> None:
        """Become the transport's protocol, and decode what the reader holds."""
        held, ended = drain_reader(reader)
        self._transport.set_protocol(self._inbox.chunks)
        if held:
            self._inbox.data_received(held)
        if ended and not self._eof():
            self._transport.close()
        if self._transport.is_closing():
            self._connection_lost(None)

    def _eof(self) -> bool:
        """Handle the end of the peer's stream; return True to keep the other direction open."""
        if self._version == 1 and not self._inbox.decoder.unfinished:
            self._finish(EndOfChannel("the peer closed the connection"))
        self._finish(ConnectionLost(f"{self._who}'s stream ended without a goodbye"))
        half = self._transport.can_write_eof()
        if isinstance(self._inbox.end, ConnectionLost):
            self._stop_sending(self._inbox.end)
            half = False
        if not half:
            self._outbox.drop()
        return half

    def _connection_lost(self, error: Exception | None) -> None:
        if self._lost.done():
            return
        connection = "the connection" if self.peer is None else f"the connection to {self._who}"
        lost = ConnectionLost(f"{connection} broke: {error}" if error else f"{connection} was closed")
        lost.__cause__ = error
        self._finish(lost)
        self._stop_sending(lost)
        self._outbox.drop()
        self._inbox.close()
        self._lost.set_result(None)

    def _take(self, frame: Frame) -> bool:
        """Handle a frame that is no message; return False to leave it to the receiver."""
        if frame.type == FrameType.PING:
            if self._refuse is None and not self._outbox.full:
                self._outbox.put(wire.encode_header(FrameType.PONG, len(frame.body)) + bytes(frame.body))
        elif frame.type == FrameType.BYE:
            self._finish(EndOfChannel(f"{self._who} has ended the channel"))
            if bytes(frame.body) != _STILL_READING:
                self._stop_sending(self._inbox.end)
                self._say_bye()
        elif frame.type == FrameType.ERROR:
            self._finish(_remote_error(frame.body))
        elif self._inbox.end is None and frame.type != FrameType.PONG:
            return False
        self._inbox.consumed(frame)
        return True

    # Sending

    def _room(self) -> None:
        """Wake the next sender that waits; if none does, accept from all: there is room."""
        if self._senders:
            _wake(self._senders[0])
        elif self._refuse is None:
            self._outbox.held = self._outbox.full

    async def _wait_for_room(self) -> None:
        """
        Wait until a message may be accepted, first come, first served.

        When a batch could be written it is, and the loop turns once: a sender that never waits doesn't starve others.
        Cancelling it means that nothing was sent.
        """
        outbox, served, turned = self._outbox, False, False
        while True:
            if self._refuse is not None:
                raise self._refuse.with_traceback(None)
            if outbox.full or (self._senders and not served):
                await self._stand_in_line(first=served)
                served = True
            elif outbox.batched and not turned:
                outbox.flush()
                turned = True
                await asyncio.sleep(0)
            else:
                break
        if self._senders:
            self._loop.call_soon(self._room)

    async def _stand_in_line(self, *, first: bool) -> None:
        waiter = self._loop.create_future()
        (self._senders.appendleft if first else self._senders.append)(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            self._loop.call_soon(self._room)  # it may have been this one's turn: pass it on
            raise
        finally:
            self._senders.remove(waiter)

    def _stop_sending(self, error: ParcsError | None) -> None:
        """Stop accepting messages to send; the first reason stays."""
        if self._refuse is None:
            self._refuse = error
        self._outbox.held = True
        for waiter in self._senders:
            _wake(waiter)

    def _say_bye(self, body: bytes = b"") -> None:
        if self._said_bye or self._version == 1 or self._transport.is_closing():
            return
        self._said_bye = not body
        self._outbox.put(wire.encode_header(FrameType.BYE, len(body)) + body)

    # Ends

    async def send_eof(self) -> None:
        """End sending; the peer's `recv` raises `EndOfChannel`, and it can still send."""
        if self._refuse is not None:
            raise self._refuse.with_traceback(None)
        self._say_bye(_STILL_READING)
        self._stop_sending(ChannelClosed("send_eof() was called: nothing more can be sent"))
        if self._version == 1:
            await self._outbox.drain()
            self._end_stream()

    async def aclose(self, timeout: float | None = _DEFAULT) -> None:
        """
        End the channel: deliver what was sent, say goodbye, wait for the peer's goodbye, close.

        What the peer sent and this side has not received is discarded. Cancelling it ends the channel at once.

        Args:
            timeout: seconds after which the end is an abrupt one; ``close_timeout`` by default, None to wait
                for as long as the peer takes to read what was sent.
        """
        if self._closing is None:
            self._closing = self._loop.create_future()
            try:
                async with asyncio.timeout(self._settings.close_timeout if timeout == _DEFAULT else timeout):
                    await self._close_gracefully()
            except TimeoutError:
                pass  # the peer had its time
            finally:
                self._cut()
                self._closing.set_result(None)
        await asyncio.shield(self._closing)
        await asyncio.shield(self._lost)

    async def _close_gracefully(self) -> None:
        closed = ChannelClosed("this end of the channel is closed")
        self._close_here(closed)
        self._say_bye()
        await self._outbox.drain()
        self._end_stream()
        # Closing with unread bytes would make the kernel reset the connection, and the peer lose what was sent.
        await asyncio.shield(self._ended)
        self._transport.close()
        await asyncio.shield(self._lost)

    async def wait_ended(self, timeout: float) -> None:
        """Wait until the peer's side has ended, or no byte came for so many seconds. Cancelling it changes nothing."""
        before = -1
        while not self._ended.done() and self.bytes_received != before:
            before = self.bytes_received
            await asyncio.wait([self._ended], timeout=timeout)

    def _end_stream(self) -> None:
        """Half-close, where the transport can."""
        if self._transport.can_write_eof() and not self._transport.is_closing():
            try:
                self._transport.write_eof()
            except OSError:
                pass  # the connection is gone; the transport is about to report it

    def abort(self, reason: ParcsError | None = None) -> None:
        """
        End the channel at once; what isn't delivered is lost.

        Args:
            reason: what `recv` (once it has returned what arrived) and `send` raise from then on. None: this end
                has discarded the rest, and both raise `ChannelClosed`.
        """
        if reason is None:
            self._close_here(ChannelClosed("this end of the channel was aborted"))
        else:
            self._fail(reason)
        self._cut()

    def _close_here(self, closed: ParcsError) -> None:
        self._closed = self._closed or closed
        self._stop_sending(closed)
        self._inbox.discard()
        self._inbox.wake()

    def _finish(self, error: ParcsError) -> None:
        self._inbox.finish(error)
        _wake(self._ended)

    def _fail(self, error: ParcsError) -> None:
        """End at once; frames that are complete can still be received."""
        self._finish(error)
        self._stop_sending(error)
        self._cut()

    def _cut(self) -> None:
        if not self._lost.done():  # asyncio's own transport fails to abort when it has ended
            self._transport.abort()


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


def _remote_error(body: Any) -> RemoteError:
    try:
        return decode_error(codec.decode(body))
    except DecodeError:
        return decode_error(None)
