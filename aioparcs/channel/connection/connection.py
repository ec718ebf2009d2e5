"""
Frames both ways over one connection: sending, liveness, and the end of each direction.

asyncio's streams opened the connection and carried the handshake; from here on the transport feeds the reader
itself, and the outbox writes to the transport.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from aioparcs import codec, wire
from aioparcs.channel.connection.inbox import Inbox
from aioparcs.channel.connection.memory import MessageMemory
from aioparcs.channel.connection.outbox import Outbox
from aioparcs.channel.connection.protocols import drain_reader
from aioparcs.channel.connection.reader import FrameReader
from aioparcs.channel.connection.router import FrameHandler
from aioparcs.channel.connection.sender import FrameSender
from aioparcs.channel.connection.state import ConnectionState
from aioparcs.channel.error_codec import decode_error
from aioparcs.errors import ChannelClosed, ConnectionLost, DecodeError, EndOfChannel, ParcsError, RemoteError
from aioparcs.settings import EXTENSIONS, Settings
from aioparcs.wire import Frame, FrameType

__all__ = ["FrameConnection"]

_STILL_READING = b"\xc3"  # the body of a BYE whose sender goes on reading: MessagePack's true
_DEFAULT = -1.0
# Bytes of bodies, and what each frame counts for, after which `recv_frame` lets the loop turn, whatever has arrived.
_TURN, _FRAME = 16 << 10, 256


class FrameConnection:
    """
    One connection that carries frames, from `start` on.

    What is built upon it adds handlers for its types of frames before; all others are received by `recv_frame`.

    Args:
        reader: the connection's reading end; what it holds already is decoded first.
        writer: its writing end. The connection owns both from now on.
        settings: limits and deadlines; the defaults if None.
        version: 2, or 1 for the original wire.
        peer_limits: bytes that the peer accepts in a body, and in the buffers of a message; this side's own
            limits if None.
        peer: the number of the worker at the other end, if that is another one's peer; errors name it.

    Attributes:
        version, peer: the same.
        extensions: the highest extension of values that the peer knows; what is built upon it may set it.
        tracing: whether the peer reads the trace context of calls; what is built upon it may set it.
        opened: the loop's time when it began.
        state: how far it has come towards its end.
        inbox: what was received and not taken.
        outbox: what waits to be written.
        sender: the half that sends.
        reader: the half that receives.
        ended: done once the peer's side has ended; never cancelled.
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
        settings = settings or Settings()
        loop = asyncio.get_running_loop()
        transport: asyncio.Transport = writer.transport  # type: ignore[assignment]  # it reads as well
        self.version = version
        self.peer = peer
        self.extensions = EXTENSIONS
        self.tracing = False
        self.opened = loop.time()
        self.state = ConnectionState.OPEN
        self._stream = reader, writer  # kept: when the writer is collected it closes the transport
        self._close_timeout = settings.close_timeout
        self._sent_bye = False
        self._unawaited = 0  # what was received since `recv_frame` has let the loop turn
        self.ended: asyncio.Future[None] = loop.create_future()
        self._lost: asyncio.Future[None] = loop.create_future()
        self.outbox = Outbox(loop, transport, settings.send_queue)
        self.sender = FrameSender(loop, self.outbox, *(peer_limits or (settings.max_body, settings.max_buffers)))
        memory = MessageMemory(settings.receive_budget, settings.max_buffers)
        self.inbox = Inbox(loop, transport, memory, settings.receive_queue)
        self.reader = FrameReader(self, transport, self.inbox, self.outbox, settings, version)
        self.add_handler(FrameType.MAPPED, self.reader.handle_mapped)
        self.add_handler(FrameType.PING, self._handle_ping)
        self.add_handler(FrameType.PONG, _ignore)  # that it came is all it says
        self.add_handler(FrameType.BYE, self._handle_bye)
        self.add_handler(FrameType.ERROR, self._handle_error)

    def start(self) -> None:
        """Become the transport's protocol, and decode what the reader holds."""
        buffered, is_ended = drain_reader(self._stream[0])
        self.reader.start(buffered)
        if is_ended and not self.eof_received():
            self.transport.close()
        if self.transport.is_closing():
            self.connection_lost(None)

    @property
    def transport(self) -> asyncio.Transport:
        """The connection's transport."""
        return self._stream[1].transport  # type: ignore[return-value]  # it reads as well

    @property
    def bytes_received(self) -> int:
        """Bytes that have arrived so far: a peer that is alive makes it grow."""
        return self.inbox.bytes

    async def send_frame(self, type: int, body: bytes = b"") -> None:
        """
        Send one frame, as soon as there is room.

        Cancelling it means that it was not sent.
        """
        if self.outbox.blocked:
            await self.sender.wait_for_room()
        self.outbox.put(wire.encode_header(type, len(body)) + body)

    def post_frame(self, type: int, body: bytes = b"") -> None:
        """Send one small frame without waiting for room; nothing happens when nothing more can be sent."""
        self.sender.post(type, body)

    async def recv_frame(self) -> Frame:
        """
        Receive the next frame that has no handler.

        Cancelling it leaves the frame first in line.

        Raises:
            EndOfChannel: the peer said goodbye.
            ConnectionLost: the connection broke.
            BusyError: another coroutine is receiving.
        """
        if self._unawaited > _TURN:
            self._unawaited = 0
            await asyncio.sleep(0)
        await self.inbox.wait()
        frame = wire.frame_of(self.inbox.frames.popleft())
        self._unawaited += _FRAME + len(frame.body)
        self.inbox.consumed(frame)
        return frame

    def add_handler(self, type: int, handler: FrameHandler) -> None:
        """Route a type of frames to a handler, which returns False to leave a frame to the receiver."""
        self.reader.router.add(type, handler)

    async def wait_beside(self, is_there: Callable[[], object]) -> None:
        """
        Wait for what the peer sends outside the order of messages, however many of those are in line before it.

        Cancelling it changes nothing. It raises what `recv_frame` raises.
        """
        changed = asyncio.Event()
        unwatch = self.inbox.watch(changed.set)
        try:
            with self.reader.reading_on():
                while not is_there():
                    self.inbox.check()
                    changed.clear()
                    await changed.wait()
        finally:
            unwatch()

    # What the transport reports

    def eof_received(self) -> bool:
        """Handle the end of the peer's stream; return True to keep the other direction open."""
        if self.version == 1 and not self.reader.decoder.unfinished:
            self._end_receiving(EndOfChannel("the peer closed the connection"))
        self._end_receiving(ConnectionLost(f"{self._peer_name}'s stream ended without a goodbye"))
        half = self.transport.can_write_eof()
        if isinstance(self.inbox.end, ConnectionLost):
            self._end_sending(self.inbox.end)
            half = False
        if not half:
            self.outbox.drop()
        self.outbox.end_loans()
        return half

    def connection_lost(self, error: Exception | None) -> None:
        """Handle the end of the connection."""
        if self.state is ConnectionState.CLOSED:
            return
        connection = "the connection" if self.peer is None else f"the connection to {self._peer_name}"
        lost = ConnectionLost(
            f"{connection} broke: {str(error) or type(error).__name__}" if error else f"{connection} was closed"
        )
        lost.__cause__ = error
        self._end_sending(lost)  # first: receivers run while the rest is read, and are not to write
        try:
            if isinstance(error, OSError) and self.inbox.end is None:
                self.reader.read_rest(error)
        finally:
            self._settle_lost(lost)

    def _settle_lost(self, lost: ConnectionLost) -> None:
        self._end_receiving(lost)
        self.state = ConnectionState.CLOSED
        self.outbox.drop()
        self.inbox.memory.close()
        self._lost.set_result(None)

    @property
    def _peer_name(self) -> str:
        return "the peer" if self.peer is None else f"worker {self.peer}"

    # The frames of every connection

    def _handle_ping(self, frame: Frame) -> None:
        if self.sender.error is None and not self.outbox.full:
            self.outbox.put(wire.encode_header(FrameType.PONG, len(frame.body)) + bytes(frame.body))

    def _handle_bye(self, frame: Frame) -> None:
        self._end_receiving(EndOfChannel(f"{self._peer_name} has ended the channel"))
        if bytes(frame.body) != _STILL_READING:
            self._end_sending(self.inbox.end)
            self._send_bye()

    def _handle_error(self, frame: Frame) -> None:
        self._end_receiving(_remote_error(frame.body))

    # Ends

    async def wait_ended(self, timeout: float) -> None:
        """Wait until the peer's side has ended, or no byte came for so many seconds. Cancelling it changes nothing."""
        before = -1
        while not self.ended.done() and self.bytes_received != before:
            before = self.bytes_received
            await asyncio.wait([self.ended], timeout=timeout)

    async def send_eof(self) -> None:
        """End sending; the peer's `recv` raises `EndOfChannel`, and it can still send."""
        self.sender.check()
        self._send_bye(_STILL_READING)
        self._end_sending(ChannelClosed("send_eof() was called: nothing more can be sent"))
        if self.version == 1:
            await self.outbox.drain()
            self._end_stream()

    async def aclose(self, timeout: float | None = _DEFAULT) -> None:
        """
        End the channel: deliver what was sent, say goodbye, wait for the peer's goodbye, close.

        What the peer sent and this side has not received is discarded. Cancelling it ends the channel at once.

        Args:
            timeout: seconds after which the end is an abrupt one; ``close_timeout`` by default, None to wait
                for as long as the peer takes to read what was sent.
        """
        self._close_here(ChannelClosed("this end of the channel is closed"))
        if not self.state.is_closing:
            self.state = ConnectionState.CLOSING
            try:
                async with asyncio.timeout(self._close_timeout if timeout == _DEFAULT else timeout):
                    await self._close_gracefully()
            except TimeoutError:
                pass  # the peer had its time
            finally:
                self._abort_transport()
        await asyncio.shield(self._lost)

    async def _close_gracefully(self) -> None:
        self._send_bye()
        await self.outbox.drain()
        self._end_stream()
        # Closing with unread bytes would make the kernel reset the connection, and the peer lose what was sent.
        await asyncio.shield(self.ended)
        self.transport.close()
        await asyncio.shield(self._lost)

    def abort(self, reason: ParcsError | None = None) -> None:
        """
        End the channel at once; what isn't delivered is lost.

        Args:
            reason: what `recv` (once it has returned what arrived) and `send` raise from then on. None: this end
                has discarded the rest, and both raise `ChannelClosed`.
        """
        if reason is None:
            self._close_here(ChannelClosed("this end of the channel was aborted"))
            self._abort_transport()
        else:
            self.fail(reason)

    def fail(self, error: ParcsError) -> None:
        """End at once; frames that are complete can still be received."""
        self._end_receiving(error)
        self._end_sending(error)
        self._abort_transport()

    def _end_receiving(self, error: ParcsError) -> None:
        self.state = self.state.after_peer_ended()
        self.inbox.finish(error)
        if not self.ended.done():
            self.ended.set_result(None)

    def _end_sending(self, error: ParcsError | None) -> None:
        self.state = self.state.after_sending_ended()
        self.sender.stop(error)

    def _close_here(self, closed: ParcsError) -> None:
        self._end_sending(closed)
        self.inbox.close(closed)

    def _send_bye(self, body: bytes = b"") -> None:
        if self._sent_bye or self.version == 1 or self.transport.is_closing():
            return
        self._sent_bye = not body
        self.outbox.put(wire.encode_header(FrameType.BYE, len(body)) + body)

    def _end_stream(self) -> None:
        """Half-close, where the transport can."""
        if self.transport.can_write_eof() and not self.transport.is_closing():
            self.outbox.is_ended = True
            try:
                self.transport.write_eof()
            except OSError:
                pass  # the connection is gone; the transport is about to report it

    def _abort_transport(self) -> None:
        if self.state is not ConnectionState.CLOSED:  # asyncio's own transport fails to abort when it has ended
            self.state = ConnectionState.CLOSING
            self.transport.abort()


def _ignore(_frame: Frame) -> None:
    pass


def _remote_error(body: Any) -> RemoteError:
    try:
        return decode_error(codec.decode(body))
    except DecodeError:
        return decode_error(None)
