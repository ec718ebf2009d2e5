"""
The reading half of a connection: chunks of bytes become frames, which go to their handlers or into the inbox.

Small frames are decoded from the chunks that the transport delivers; a large piece is received straight into
its final memory, through a buffered protocol that takes the transport over until the piece is complete.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from aioparcs import codec, wire
from aioparcs.auth import read_memory
from aioparcs.channel.connection.inbox import Inbox, ReceiveTarget
from aioparcs.channel.connection.loans import mapped_frame
from aioparcs.channel.connection.memory import LARGE, RECEIVING
from aioparcs.channel.connection.outbox import Outbox
from aioparcs.channel.connection.protocols import BufferProtocol, ChunkProtocol, bind, drain_socket
from aioparcs.channel.connection.router import FrameRouter
from aioparcs.errors import ConnectionLost, DecodeError, ParcsError, ProtocolError
from aioparcs.settings import Settings
from aioparcs.shared import SharedPart, is_reachable, own_probe
from aioparcs.transport import os_reason
from aioparcs.wire import Decoder, Frame, FrameSink, FrameType, Reference

__all__ = ["FrameReader"]

_PLAIN_MSG = FrameType.MSG << 56
_head = wire.unpack_head

# A piece with this much missing is received straight into its memory; below it, switching costs more than a copy.
_FILL = 128 << 10
_UNLIMITED = 1 << 62


class _Connection(Protocol):
    """The receiver of a reader's reports: its connection."""

    def fail(self, error: ParcsError) -> None: ...
    def eof_received(self) -> bool: ...
    def connection_lost(self, error: Exception | None) -> None: ...


class FrameReader(FrameSink):
    """
    The transport's protocol: it decodes what arrives.

    Args:
        connection: gets what ends the stream.
        transport: where to read from.
        inbox: where messages go.
        outbox: it is notified when the peer has sent something.
        settings: limits.
        version: of the wire.

    Attributes:
        router: the handlers of all other frames.
        decoder: the decoder.
        target: the memory that the next raw message is received into.
        is_cut: True when the connection broke before all that the peer had sent was read.
        is_reset: True when it broke in another way than by the end of the peer's stream, and may have lost what was on
            its way, unless the peer's process had ended before.
    """

    def __init__(
        self,
        connection: _Connection,
        transport: asyncio.Transport,
        inbox: Inbox,
        outbox: Outbox,
        settings: Settings,
        version: int,
    ) -> None:
        self.router = FrameRouter(inbox)
        self.target = ReceiveTarget(inbox)
        self.is_cut = self.is_reset = False
        self._connection = connection
        self._transport = transport
        self._inbox = inbox
        self._outbox = outbox
        self.decoder = Decoder(settings.max_body, settings.max_buffers, version=version, sink=self)
        self.decoder.frames = inbox.frames
        self.decoder.results = [] if version == 2 else None
        self._between = False  # in the middle of a frame
        self._whole = settings.max_body + wire.HEADER_SIZE if version == 2 else -1
        self._limit = inbox.limit
        self._peer_memory: tuple[int, int, bytes] | None = None  # how it is reached
        self._mapped, self._has_answered = 0, False  # buffers; whether the peer maps them
        self._reading_on = 0  # how many wait for what is behind the messages in line
        inbox.memory.retry = self._retry
        self._chunks = ChunkProtocol()
        bind(self._chunks, connection, outbox, data_received=self.data_received)
        self._pieces: BufferProtocol | None = None  # until a large piece comes: most channels carry none

    def start(self, buffered: bytes) -> None:
        """Become the transport's protocol, and decode what has arrived before."""
        self._transport.set_protocol(self._chunks)
        if buffered:
            self.data_received(buffered)

    # What the transport calls

    def data_received(self, data: bytes) -> None:
        """Decode a chunk, and wake the receiver that waits for it."""
        size, inbox, outbox = len(data), self._inbox, self._outbox
        inbox.bytes += size
        outbox.idle = outbox.clear
        # One whole small message and nothing else, as in a round trip: what the decoder would do, without the call.
        if 8 <= size <= self._whole and not self._between and _head(data)[0] == _PLAIN_MSG + size - 8:
            inbox.frames.append(data[8:])
        else:
            self._feed(data)
        if inbox.watched or inbox.bytes - inbox.taken >= inbox.limit:
            inbox.arrived()
        # Last: the receiver runs in here, and may do anything with the channel.
        waiter = inbox.waiter
        if waiter is not None and inbox.frames:
            waiter.wake()

    def get_buffer(self, _sizehint: int) -> memoryview:
        """Return the memory that the next bytes of a large piece belong in."""
        assert self.decoder.view is not None
        return self.decoder.view

    def buffer_updated(self, count: int) -> None:
        """Account for ``count`` bytes that are in the decoder's memory already."""
        inbox = self._inbox
        inbox.bytes += count
        self.decoder.advance(count)
        if self.decoder.view is not None:
            return
        self._between = self.decoder.unfinished
        self._outbox.idle = self._outbox.clear
        inbox.arrived()
        if not self._transport.is_closing():
            self._transport.set_protocol(self._chunks)
        if inbox.waiter is not None and inbox.frames:
            inbox.waiter.wake()

    def read_rest(self, error: OSError) -> None:
        """Decode what the peer had sent before the connection broke: after a failed write a transport reads no more."""
        held, is_all = drain_socket(self._transport)
        # Of a Unix socket only reading meets a reset, behind all that was sent; that holds under TLS, too.
        is_all = is_all or (self._outbox.is_local and isinstance(error, ConnectionResetError))
        self.is_cut, self.is_reset = not is_all, not self._outbox.is_local
        if held:
            self.data_received(held)
        self.is_cut |= self.decoder.stalled

    def _feed(self, data: bytes) -> None:
        decoder = self.decoder
        try:
            decoder.feed(data)
        except (ProtocolError, ConnectionLost) as error:
            self._fail(error)
            return
        except MemoryError:
            self._fail(ConnectionLost("a message arrived that this process has no memory for"))
            return
        if decoder.results:
            self._pass_results()
        self._between = decoder.unfinished
        if decoder.stalled:
            self._wait_for_memory()
        if decoder.view is not None:
            self._fill()

    def _fail(self, error: ParcsError) -> None:
        self.is_cut = True
        self._connection.fail(error)

    def _fill(self) -> None:
        """Receive the rest of a large piece straight into its memory."""
        view = self.decoder.view
        if view is not None and len(view) >= _FILL and not self._transport.is_closing():
            if self._pieces is None:
                pieces = self._pieces = BufferProtocol()
                reading = {"get_buffer": self.get_buffer, "buffer_updated": self.buffer_updated}
                bind(pieces, self._connection, self._outbox, **reading)
            self._transport.set_protocol(self._pieces)

    # Memory

    def _wait_for_memory(self) -> None:
        """Pause reading until there is memory for the message that has begun."""
        self._inbox.alert = True
        self._inbox.pause()
        RECEIVING.wait(self._retry)

    def _retry(self) -> None:
        """Try again to begin the large message that there was no memory for."""
        if not self.decoder.stalled or self._transport.is_closing():
            return
        inbox = self._inbox
        self._feed(b"")
        inbox.arrived()
        inbox.resume()
        if inbox.frames and inbox.waiter is not None:
            inbox.waiter.wake_soon()

    @contextmanager
    def reading_on(self) -> Iterator[None]:
        """Read on while the block runs, however much waits in line."""
        self._read_on(1)
        try:
            yield
        finally:
            self._read_on(-1)

    def _read_on(self, count: int) -> None:
        inbox = self._inbox
        self._reading_on += count
        inbox.limit = _UNLIMITED if self._reading_on else self._limit
        inbox.memory.reserve_always(count)
        inbox.resume()

    # What the decoder calls

    def allocate(self, type: int, size: int) -> Any:
        """Return the memory for a piece of a frame."""
        return self.target.allocate(type, size)

    def share_memory(self, peer: tuple[int, int, bytes] | None) -> None:
        """Share memory with the peer, if it has said how its own is reached: either may ask if the other maps it."""
        if peer is not None and self._outbox.is_local and self._outbox.fd >= 0:
            self._peer_memory = peer
            self._outbox.loans.is_askable = own_probe() is not None

    def handle_mapped(self, frame: Frame) -> None:
        """Handle what the peer says of this side's shared memory, or its question if this side can map its own."""
        try:
            value = codec.decode(frame.body)
            if value is True or type(value) is list:
                self._answer_question(value)
            else:
                self._outbox.loans.count_returned(value)
        except (DecodeError, ValueError) as error:
            self._fail(ProtocolError(f"a MAPPED frame that can't be right: {error}"))
            return
        self._outbox.flush()

    def _answer_question(self, question: Any) -> None:
        if self._has_answered:  # or the answers of one that doesn't read them would pile up
            raise ValueError("a second question")
        self._has_answered = True
        keeper = read_memory(question)  # none if it is about the peer's own memory
        self._peer_memory = keeper or self._peer_memory
        is_near = self._peer_memory is not None and is_reachable(*self._peer_memory)
        if is_near:
            self.decoder.allow_shared()
        if self._outbox.can_write:
            self._outbox.put_ahead(mapped_frame(0 if is_near else None))

    def map(self, type: int, reference: Reference) -> Any:
        """
        Return the buffer of a frame which lies in shared memory of the peer, and tell it.

        Raises:
            ProtocolError: there is no such memory.
            ConnectionLost: the peer is gone, or its memory can no longer be opened.
        """
        from aioparcs.shared import mapping  # most connections carry none

        assert self._peer_memory is not None  # or references would not be allowed
        pid, *_ = self._peer_memory
        size, parts = reference.size, [SharedPart(*part) for part in reference.parts]
        try:
            buffer: Any = self.target.find(type, size)
            if self._inbox.closed:
                buffer = codec.allocate(type, size)  # which is thrown away
            elif buffer is None:
                buffer = mapping.map_shared(pid, parts)
            else:
                mapping.read_shared(pid, parts, buffer)
        except ValueError as error:
            raise ProtocolError(f"the peer refers to memory that is no shared memory: {error}") from error
        except OSError as error:
            raise ConnectionLost(f"the peer's shared memory can't be opened: {os_reason(error)}") from error
        self._inbox.bytes += reference.saved
        self._mapped += 1
        if self._outbox.can_write:  # however much waits: the peer may wait for it
            self._outbox.put_ahead(mapped_frame(self._mapped))
        return buffer

    def reserve(self, size: int) -> bool:
        """Reserve memory for a frame if it is large; return False when there is none now."""
        if size < LARGE:
            return True
        inbox = self._inbox
        return inbox.memory.reserve(size, is_awaited=inbox.waiter is not None or inbox.closed is not None)

    def take(self, frame: Frame) -> bool:
        """Pass a frame to its handler; return False to leave it to the receiver."""
        if self.decoder.results:
            self._pass_results()  # what came first comes first
        is_passed = self.router.route(frame)
        self._inbox.passed += is_passed
        return is_passed

    def _pass_results(self) -> None:
        """Pass the small results that have arrived to their handler."""
        results = self.decoder.results
        assert results is not None
        bodies = results.copy()
        results.clear()
        self._inbox.taken += wire.HEADER_SIZE * len(bodies) + sum(map(len, bodies))
        self._inbox.passed += len(bodies)
        self.router.handle_small_results(bodies)
