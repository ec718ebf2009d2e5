"""
The inbox of a connection: received frames that no receiver has taken yet, and flow control.

Small frames are decoded from the chunks that the transport delivers; a large piece is received straight into
its final memory, through a buffered protocol that takes the transport over until the piece is complete.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from typing import Any

from aioparcs import codec, wire
from aioparcs.channel.budget import RECEIVING
from aioparcs.channel.outbox import Outbox
from aioparcs.channel.waiter import InlineFuture
from aioparcs.errors import ConnectionLost, ParcsError, ProtocolError
from aioparcs.settings import Settings
from aioparcs.wire import Decoder, Frame

__all__ = ["LARGE", "Inbox"]

_PLAIN_MSG = wire.FrameType.MSG << 56
_head = wire.unpack_head

# A message from this size on counts against the process-wide budget.
LARGE = 1 << 20
# A piece with this much missing is received straight into its memory; below it, switching costs more than a copy.
_FILL = 128 << 10
_BOUNDLESS = 1 << 62


class Inbox:
    """
    Received frames in order, and the flow control that keeps them few.

    Args:
        loop: the event loop.
        transport: where to read from.
        outbox: it is notified when the peer has sent something.
        settings: limits.
        version: of the wire.
        take: called with each frame but small plain messages; True keeps it from the receiver.
        fail: called when the peer breaks the wire's rules.

    Attributes:
        frames: what arrived and was not taken; see `wire.Decoder`.
        end: why no further frame will come, or None.
        taken: bytes of the frames that were taken.
        expected: what the program waits for besides messages: its calls.
        paused: True while reading is paused.
        decoder: the decoder.
        waiter: what the receiver awaits, or None.
        alert: True when a receiver has to look before it waits: at the end, or for a message that has no memory.
        chunks: the protocol that calls `data_received`.
        budget: bytes that the large messages of all channels may hold.
        max_buffers: bytes that the buffers of one message may have.
        pieces: the protocol that calls `get_buffer` and `buffer_updated`.
        bytes: bytes that arrived so far.
        take_results: called with the bodies of small results, those of one chunk together.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        transport: asyncio.Transport,
        outbox: Outbox,
        settings: Settings,
        version: int,
        take: Callable[[Frame], bool],
        fail: Callable[[ParcsError], None],
    ) -> None:
        self.end: ParcsError | None = None
        self.expected: Collection[Any] = ()
        self.taken = 0
        self.bytes = 0
        self.paused = False
        self._transport = transport
        self._outbox = outbox
        self.chunks: asyncio.Protocol
        self.pieces: asyncio.BufferedProtocol
        self._settings = settings
        self._fail = fail
        self._take = take
        self._limit = settings.receive_queue
        self.budget, self.max_buffers = settings.receive_budget, settings.max_buffers
        self._insistent = 0  # how many wait for what is behind the messages in line
        self._wanted = False
        self.waiter: InlineFuture | None = None
        self.alert = False
        self._watchers: list[Callable[[], None]] = []
        self._target: memoryview | None = None
        self._aimed: memoryview | None = None
        self._discarding = False
        self._watched = False  # True with watchers, or while what arrives is discarded
        self._reserved = 0
        self.decoder = Decoder(
            settings.max_body,
            settings.max_buffers,
            version=version,
            allocate=self._allocate,
            reserve=self._reserve,
            take=self._complete,
        )
        self.decoder.results = [] if version == 2 else None
        self.take_results: Callable[[list[bytes]], None] = lambda results: None
        self._between = False  # in the middle of a frame
        self._whole = settings.max_body + wire.HEADER_SIZE if version == 2 else -1
        self.frames = self.decoder.frames

    @property
    def unread(self) -> int:
        """Bytes that arrived and were not taken."""
        return self.bytes - self.taken

    # What the transport calls

    def data_received(self, data: bytes) -> None:
        """Decode a chunk, and wake the receiver that waits for it."""
        size = len(data)
        self.bytes += size
        outbox = self._outbox
        outbox.idle = outbox.clear
        # One whole small message and nothing else, as in a round trip: what the decoder would do, without the call.
        if 8 <= size <= self._whole and not self._between and _head(data)[0] == _PLAIN_MSG + size - 8:
            self.frames.append(data[8:])
        else:
            self._feed(data)
        if self._watched or self.bytes - self.taken >= self._limit:
            self._fed()
        # Last: the receiver runs in here, and may do anything with the channel.
        waiter = self.waiter
        if waiter is not None and self.frames:
            waiter.wake()

    def _feed(self, data: bytes) -> None:
        decoder = self.decoder
        try:
            decoder.feed(data)
        except ProtocolError as error:
            self._fail(error)
            return
        except MemoryError:
            self._fail(ConnectionLost("a message arrived that this process has no memory for"))
            return
        if decoder.results:
            self._hand_over()
        self._between = decoder.unfinished
        if decoder.stalled:
            self._starve()
        if decoder.view is not None:
            self._fill()

    def get_buffer(self, _sizehint: int) -> memoryview:
        """Return the memory that the next bytes of a large piece belong in."""
        assert self.decoder.view is not None
        return self.decoder.view

    def buffer_updated(self, count: int) -> None:
        """Account for ``count`` bytes that are in the decoder's memory already."""
        self.bytes += count
        self.decoder.advance(count)
        if self.decoder.view is not None:
            return
        self._between = self.decoder.unfinished
        self._outbox.idle = self._outbox.clear
        self._fed()
        if not self._transport.is_closing():
            self._transport.set_protocol(self.chunks)
        if self.waiter is not None and self.frames:
            self.waiter.wake()

    def _fill(self) -> None:
        """Receive the rest of a large piece straight into its memory."""
        view = self.decoder.view
        if view is not None and len(view) >= _FILL and not self._transport.is_closing():
            self._transport.set_protocol(self.pieces)

    def _fed(self) -> None:
        """Handle an arrival for others than the receiver: flow control, discarding, and the watchers."""
        if self.unread >= self._limit and self.frames:
            self._pause()
        if self._discarding:
            self.forget()
        for callback in self._watchers:
            callback()
        self._look_out()

    def _starve(self) -> None:
        """Pause reading until there is memory for the message that has begun."""
        self.alert = True
        self._pause()
        RECEIVING.wait(self.retry)

    def _look_out(self) -> None:
        self.alert = self.end is not None or self._discarding or self.decoder.stalled

    def _pause(self) -> None:
        if not self.paused and not self._transport.is_closing():
            self.paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        """Resume reading, if it was paused and neither unread bytes nor a lack of memory forbid it."""
        if not self.paused or self.decoder.stalled or self._transport.is_closing():
            return
        if not self.frames or self.unread < self._limit // 2:
            self.paused = False
            self._transport.resume_reading()

    def retry(self) -> None:
        """Try again to begin the large message that there was no memory for."""
        if not self.decoder.stalled or self._transport.is_closing():
            return
        self._feed(b"")
        self._fed()
        self.resume()
        if self.frames and self.waiter is not None:
            self.waiter.wake_soon()

    # What the decoder calls

    def _allocate(self, type: int, size: int) -> Any:
        target = self._target
        if type == wire.FrameType.RAW and target is not None and not self.frames and size <= len(target):
            self._aimed = target[:size]
            return self._aimed
        return codec.allocate(type, size)

    def _reserve(self, size: int) -> bool:
        if size < LARGE:
            return True
        wanted = self.waiter is not None or self._wanted or self._discarding or self._insistent > 0
        if not RECEIVING.take(size, self._settings.receive_budget, force=wanted or bool(self.expected)):
            return False
        self._reserved += size
        return True

    def _hand_over(self) -> None:
        """Pass the small results that have arrived to their sink."""
        results = self.decoder.results
        assert results is not None
        bodies = results.copy()
        results.clear()
        self.taken += wire.HEADER_SIZE * len(bodies) + sum(map(len, bodies))
        self.take_results(bodies)

    def _complete(self, frame: Frame) -> bool:
        if self.decoder.results:
            self._hand_over()  # what came first comes first
        return self._take(frame)

    # What the receiver calls

    def want(self) -> None:
        """Reserve the memory that a large message waits for: a program is about to receive it."""
        self._wanted = True
        self.retry()
        self._wanted = False

    def read_on(self, count: int) -> None:
        """Read on whatever waits in line, until each call with 1 is undone by one with -1."""
        self._insistent += count
        self._limit = _BOUNDLESS if self._insistent else self._settings.receive_queue
        self.retry()
        self.resume()

    def aim(self, target: memoryview | None) -> None:
        """Receive the buffer of the next raw message into ``target``, if it fits."""
        self._target, self._aimed = target, None

    def withdraw(self) -> None:
        """Undo `aim`: receive the rest into memory of its own, with what has arrived so far."""
        aimed = self._aimed
        self.aim(None)
        if aimed is None:
            return
        self.decoder.move(aimed, codec.allocate(wire.FrameType.RAW, len(aimed)))
        if self.frames:
            frame = wire.frame_of(self.frames[0])
            if frame.buffers and frame.buffers[0] is aimed:
                self.frames[0] = frame._replace(buffers=(bytearray(aimed),))

    @property
    def ready(self) -> bool:
        """True when receiving would not wait, or only for a large message that waits for memory itself."""
        return bool(self.frames) or self.end is not None or self.decoder.stalled

    def watch(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call ``callback`` whenever a frame or the end arrives; returns what undoes it."""
        self._watchers.append(callback)
        self._watched = True
        return lambda: self._unwatch(callback)

    def _unwatch(self, callback: Callable[[], None]) -> None:
        self._watchers.remove(callback)
        self._watched = self._discarding or bool(self._watchers)

    def finish(self, end: ParcsError) -> None:
        """Set the reason why no further frame comes; the first one stays."""
        if self.end is None:
            self.end = end
        self._look_out()
        self.wake()

    def wake(self) -> None:
        """Wake the receivers that wait, so that they look again."""
        if self.waiter is not None:
            self.waiter.wake_soon()
        for callback in self._watchers:
            callback()

    def is_wanted(self, place: Frame) -> bool:
        """Return True if a program waits for the message that has this place, or is about to throw it away."""
        return self._discarding or (self.waiter is not None and bool(self.frames) and self.frames[0] is place)

    def put_in_place(self, place: Frame, frame: Frame) -> bool:
        """Put a frame that came another way in the place held for it; return False when the place is gone."""
        for index, item in enumerate(self.frames):
            if item is place:
                self.frames[index] = frame
                self.bytes += _wire_size(frame) - _wire_size(place)
                size = len(frame.body) + sum(map(len, frame.buffers))
                self._reserved += size if size >= LARGE else 0
                self.wake()
                return True
        return False

    def consumed(self, frame: Frame) -> None:
        """Account for a frame that was taken."""
        size = len(frame.body) + sum(map(len, frame.buffers))
        self.taken += _wire_size(frame)
        if size >= LARGE and self._reserved:
            self._reserved -= size
            RECEIVING.release(size)
        self.resume()

    def discard(self) -> None:
        """Throw away what arrived and what still comes."""
        self._discarding = self._watched = self.alert = True
        self.forget()
        self.retry()
        self.resume()

    def forget(self) -> None:
        """Throw away what arrived."""
        while self.frames:
            self.consumed(wire.frame_of(self.frames.popleft()))

    def close(self) -> None:
        """Release the memory of a half-received message: the connection is gone."""
        reserved, self._reserved = self._reserved, 0
        if reserved:
            RECEIVING.release(reserved)


def _wire_size(frame: Frame) -> int:
    lengths = 4 + 8 * len(frame.buffers) if frame.buffers else 0
    return wire.HEADER_SIZE + lengths + len(frame.body) + sum(map(len, frame.buffers))
