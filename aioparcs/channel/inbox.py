"""
What has arrived and nobody has taken yet, and when to read on.

Small frames are decoded from the chunks that the transport delivers; a large piece is received straight into
its final memory, through a buffered protocol that takes the transport over until the piece is complete.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from aioparcs import codec, wire
from aioparcs.channel.budget import RECEIVING
from aioparcs.errors import ParcsError, ProtocolError
from aioparcs.settings import Settings
from aioparcs.wire import Decoder, Frame

__all__ = ["Inbox"]

# A message from this size on counts against the process-wide budget.
_LARGE = 1 << 20
# A piece with this much missing is received straight into its memory; below it, switching costs more than a copy.
_FILL = 128 << 10


class Inbox:
    """
    Frames in order, and the flow control that keeps them few.

    Args:
        loop: the event loop.
        transport: where to read from.
        settings: limits.
        version: of the wire.
        take: called with each frame but small plain messages; True keeps it from the receiver.
        fail: called when the peer breaks the wire's rules.

    Attributes:
        frames: what arrived and was not taken; see `wire.Decoder`.
        end: why no further frame will come, or None.
        unread: bytes that arrived and were not taken.
        paused: True while reading is paused.
        decoder: the decoder.
        bytes: bytes that arrived so far.
        last_heard: the loop's time when something arrived last.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        transport: asyncio.Transport,
        settings: Settings,
        version: int,
        take: Callable[[Frame], bool],
        fail: Callable[[ParcsError], None],
    ) -> None:
        self.end: ParcsError | None = None
        self.unread = 0
        self.bytes = 0
        self.paused = False
        self.last_heard = loop.time()
        self._loop = loop
        self._transport = transport
        self._settings = settings
        self._fail = fail
        self._waiter: asyncio.Future[None] | None = None
        self._watchers: list[Callable[[], None]] = []
        self._target: memoryview | None = None
        self._aimed: memoryview | None = None
        self._discarding = False
        self._reserved = 0
        self.decoder = Decoder(
            settings.max_body,
            settings.max_buffers,
            version=version,
            allocate=self._allocate,
            reserve=self._reserve,
            take=take,
        )
        self.frames = self.decoder.frames

    # What the transport's protocol calls

    def feed(self, data: bytes) -> bool:
        """Take a chunk; True when the rest of a large piece should be received straight into its memory."""
        self.bytes += len(data)
        self.unread += len(data)
        try:
            self.decoder.feed(data)
        except ProtocolError as error:
            self._fail(error)
            return False
        self._fed()
        view = self.decoder.view
        return view is not None and len(view) >= _FILL and not self._transport.is_closing()

    def filled(self, count: int) -> bool:
        """Take ``count`` bytes that are in the decoder's memory already; True while the piece isn't complete."""
        self.bytes += count
        self.unread += count
        self.decoder.advance(count)
        if self.decoder.view is not None:
            return True
        self._fed()
        return False

    def _fed(self) -> None:
        self.last_heard = self._loop.time()
        if self._discarding:
            self.forget()
        elif self.frames:
            if self.unread >= self._settings.receive_queue:
                self._pause()
            self.wake()
        if self.decoder.stalled:
            self._pause()
            RECEIVING.wait(self.retry)

    def _pause(self) -> None:
        if not self.paused and not self._transport.is_closing():
            self.paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read on, if that was paused and neither what is unread nor a lack of memory speaks against it."""
        if not self.paused or self.decoder.stalled or self._transport.is_closing():
            return
        if not self.frames or self.unread < self._settings.receive_queue // 2:
            self.paused = False
            self._transport.resume_reading()

    def retry(self) -> None:
        """Try again to begin the large message for which there was no memory."""
        if not self.decoder.stalled or self._transport.is_closing():
            return
        try:
            self.decoder.feed(b"")
        except ProtocolError as error:
            self._fail(error)
            return
        self._fed()
        self.resume()

    # What the decoder calls

    def _allocate(self, type: int, size: int) -> Any:
        target = self._target
        if type == wire.FrameType.RAW and target is not None and not self.frames and size <= len(target):
            self._aimed = target[:size]
            return self._aimed
        return codec.allocate(type, size)

    def _reserve(self, size: int) -> bool:
        if size < _LARGE:
            return True
        wanted = self._waiter is not None or self._discarding
        if not RECEIVING.take(size, self._settings.receive_budget, force=wanted):
            return False
        self._reserved += size
        return True

    # What the receiver calls

    async def wait(self) -> None:
        """Wait for a frame or the end; one coroutine at a time. Cancelling it changes nothing."""
        self._waiter = waiter = self._loop.create_future()
        try:
            self.retry()  # a large message that somebody waits for gets its memory
            if not self.frames and self.end is None:
                await waiter
        finally:
            self._waiter = None

    def aim(self, target: memoryview | None) -> None:
        """Receive the buffer of the next raw message into ``target``, if it fits."""
        self._target, self._aimed = target, None

    def withdraw(self) -> None:
        """Undo `aim`: what arrived there so far goes on in memory of its own."""
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
    def busy(self) -> bool:
        """True while a coroutine waits."""
        return self._waiter is not None

    @property
    def ready(self) -> bool:
        """True when receiving would not wait."""
        return bool(self.frames) or self.end is not None

    def watch(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Have ``callback`` called whenever a frame or the end arrives; returns what undoes it."""
        self._watchers.append(callback)
        return lambda: self._watchers.remove(callback)

    def wake(self) -> None:
        """Wake whoever waits."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
        for callback in self._watchers:
            callback()

    def finish(self, end: ParcsError) -> None:
        """Let no further frame come; the first reason stays."""
        if self.end is None:
            self.end = end
        self.wake()

    def consumed(self, frame: Frame) -> None:
        """Account for a frame that was taken."""
        size = len(frame.body) + sum(map(len, frame.buffers))
        self.unread -= wire.HEADER_SIZE + size + (4 + 8 * len(frame.buffers) if frame.buffers else 0)
        if size >= _LARGE and self._reserved:
            self._reserved -= size
            RECEIVING.release(size)
        self.resume()

    def discard(self) -> None:
        """Throw away what arrived and what still comes."""
        self._discarding = True
        self.forget()
        self.retry()
        self.resume()

    def forget(self) -> None:
        """Throw away what arrived."""
        while self.frames:
            self.consumed(wire.frame_of(self.frames.popleft()))

    def close(self) -> None:
        """Give back what a half-received message holds: the connection is gone."""
        reserved, self._reserved = self._reserved, 0
        if reserved:
            RECEIVING.release(reserved)
