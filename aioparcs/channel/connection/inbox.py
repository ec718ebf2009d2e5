"""The inbox of a connection: received frames that no receiver has taken yet, and flow control."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

from aioparcs import codec, wire
from aioparcs.channel.connection.memory import MessageMemory
from aioparcs.channel.connection.waiter import InlineFuture
from aioparcs.errors import BusyError, EndOfChannel, ParcsError, fresh
from aioparcs.wire import Decoder, Frame, FrameType

__all__ = ["Inbox", "ReceiveTarget"]


class Inbox:
    """
    Received frames in order, and the flow control that keeps them few.

    Args:
        loop: the event loop.
        transport: where reading is paused.
        memory: what the large messages hold.
        limit: bytes that may wait here before reading is paused.

    Attributes:
        frames: what arrived and was not taken; see `wire.Decoder`.
        end: why no further frame will come, or None.
        closed: why this end no longer receives, or None.
        waiter: what the receiver awaits, or None.
        alert: True when `prepare_wait` comes before waiting: at the end, or for a message that has no memory.
        bytes: bytes that arrived so far.
        taken: bytes of the frames that were taken.
        passed: frames that went to their handlers so far, and so never were in line.
        paused: True while reading is paused.
        limit, loop, memory: as they were given.
        watched: True when `arrived` is to be called for each chunk.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, transport: asyncio.Transport, memory: MessageMemory, limit: int
    ) -> None:
        self.frames: deque[Frame | bytes] = deque()
        self.end: ParcsError | None = None
        self.closed: ParcsError | None = None
        self.waiter: InlineFuture | None = None
        self.alert = False
        self.bytes = 0
        self.taken = 0
        self.passed = 0
        self.paused = False
        self.limit = limit
        self.loop = loop
        self.memory = memory
        self.watched = False
        self._watchers: list[Callable[[], None]] = []
        self._transport = transport

    @property
    def unread(self) -> int:
        """Bytes that arrived and were not taken."""
        return self.bytes - self.taken

    @property
    def is_ready(self) -> bool:
        """True when receiving would not wait, or only for a large message that waits for memory itself."""
        return bool(self.frames) or self.end is not None or self.memory.stalled

    # What the receiver calls

    async def wait(self) -> None:
        """
        Wait until there is a frame. Cancelling it changes nothing.

        Raises:
            EndOfChannel, RemoteError, ConnectionLost, ChannelClosed: none will come.
            BusyError: another coroutine is receiving.
        """
        while not self.frames or self.waiter is not None:
            if self.alert or self.waiter is not None:
                self.prepare_wait()
            if not self.frames:
                self.waiter = InlineFuture(loop=self.loop)
                try:
                    await self.waiter
                finally:
                    self.waiter = None

    def prepare_wait(self, *, stop: bool = False) -> None:
        """Raise an error if no frame will come; else reserve memory for a large message that waits for it."""
        if self.waiter is not None:
            raise BusyError("another coroutine is receiving from this channel")
        if stop and not self.closed and isinstance(self.end, EndOfChannel):
            raise StopAsyncIteration
        self.check()
        self.memory.reserve_awaited()

    def check(self) -> None:
        """Raise the reason why no further frame will come, if there is one."""
        end = self.closed or self.end
        if end is not None:
            raise fresh(end)

    def consumed(self, frame: Frame) -> None:
        """Account for a frame that was taken."""
        self.taken += _wire_size(frame)
        self.memory.release(_size(frame))
        self.resume()

    # Flow control

    def pause(self) -> None:
        """Pause reading."""
        if not self.paused and not self._transport.is_closing():
            self.paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        """Resume reading, if it was paused and neither unread bytes nor a lack of memory forbid it."""
        if not self.paused or self.memory.stalled or self._transport.is_closing():
            return
        if not self.frames or self.unread < self.limit // 2:
            self.paused = False
            self._transport.resume_reading()

    def arrived(self) -> None:
        """Handle an arrival for others than the receiver: flow control, discarding, and the watchers."""
        if self.unread >= self.limit and self.frames:
            self.pause()
        if self.closed:
            self._discard()
        self._call_watchers()
        self._set_alert()

    # News for those who wait

    def watch(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call ``callback`` whenever a frame or the end arrives; returns what undoes it."""
        self._watchers.append(callback)
        self.watched = True
        return lambda: self._unwatch(callback)

    def _unwatch(self, callback: Callable[[], None]) -> None:
        self._watchers.remove(callback)
        self.watched = self.closed is not None or bool(self._watchers)

    def _wake(self) -> None:
        """Wake the receivers that wait, so that they look again."""
        if self.waiter is not None:
            self.waiter.wake_soon()
        self._call_watchers()

    def _call_watchers(self) -> None:
        for callback in self._watchers:
            try:
                callback()
            except Exception as error:  # the caller is a transport, or ends other connections too
                self.loop.call_exception_handler({"message": "watching a channel", "exception": error})

    def _set_alert(self) -> None:
        self.alert = self.end is not None or self.closed is not None or self.memory.stalled

    # Places of messages that come another way

    def is_wanted(self, place: Frame) -> bool:
        """Return True if a program waits for the message that has this place, or is about to throw it away."""
        is_first = self.waiter is not None and bool(self.frames) and self.frames[0] is place
        return self.closed is not None or is_first

    def put_in_place(self, place: Frame, frame: Frame) -> bool:
        """Put a frame that came another way in the place held for it; return False when the place is gone."""
        for index, item in enumerate(self.frames):
            if item is place:
                self.frames[index] = frame
                self.bytes += _wire_size(frame) - _wire_size(place)
                self.memory.add(_size(frame))
                self._wake()
                return True
        return False

    # Ends

    def finish(self, end: ParcsError) -> None:
        """Set the reason why no further frame comes; the first one stays."""
        if self.end is None:
            self.end = end
        self._set_alert()
        self._wake()

    def close(self, reason: ParcsError) -> None:
        """Receive no more: throw away what arrived and what still comes. The first reason stays."""
        self.closed = self.closed or reason
        self.watched = self.alert = True
        self._discard()
        self.memory.retry()
        self.resume()
        self._wake()

    def _discard(self) -> None:
        while self.frames:
            self.consumed(wire.frame_of(self.frames.popleft()))


class ReceiveTarget:
    """
    The memory that a program has given for the next raw message.

    Args:
        inbox: where that message will be in line.
    """

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self._memory: memoryview | None = None
        self._filling: memoryview | None = None  # the part of it that a message is being received into

    def set(self, memory: memoryview | None) -> None:
        """Receive the buffer of the next raw message into this memory, if it fits."""
        self._memory, self._filling = memory, None

    def allocate(self, type: int, size: int) -> Any:
        """Return the memory for a piece of a frame."""
        filling = self.find(type, size)
        return codec.allocate(type, size) if filling is None else filling

    def find(self, type: int, size: int) -> memoryview | None:
        """Return the part of the program's memory that a piece of a frame belongs in, or None."""
        memory = self._memory
        if type == FrameType.RAW and memory is not None and not self._inbox.frames and size <= len(memory):
            self._filling = memory[:size]
            return self._filling
        return None

    def withdraw(self, decoder: Decoder) -> None:
        """Undo `set`: receive the rest into memory of its own, with what has arrived so far."""
        filling = self._filling
        self.set(None)
        if filling is None:
            return
        decoder.move(filling, codec.allocate(FrameType.RAW, len(filling)))
        frames = self._inbox.frames
        if frames:
            frame = wire.frame_of(frames[0])
            if frame.buffers and frame.buffers[0] is filling:
                frames[0] = frame._replace(buffers=(bytearray(filling),))


def _size(frame: Frame) -> int:
    return len(frame.body) + sum(map(len, frame.buffers))


def _wire_size(frame: Frame) -> int:
    lengths = 4 + 8 * len(frame.buffers) if frame.buffers else 0
    return wire.HEADER_SIZE + lengths + _size(frame)
