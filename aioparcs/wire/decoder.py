"""The decoder: bytes of a stream become frames."""

from __future__ import annotations

import struct
from collections import deque
from typing import Any

from aioparcs.errors import ProtocolError
from aioparcs.settings import MAX_BUFFER_COUNT
from aioparcs.wire.frames import (
    BUFFERS,
    HEADER_SIZE,
    LARGEST,
    SHARED,
    Buffer,
    Frame,
    FrameType,
    Reference,
    unpack_head,
    unpack_lengths,
)

__all__ = ["Decoder", "FrameSink"]

# A body that is incomplete and longer than this is gathered in memory of its own; a shorter one waits in the tail.
_TAIL_LIMIT = 4096
_unpack_count = struct.Struct(">I").unpack_from

_make = tuple.__new__  # a named tuple without the detour through its own constructor
_TYPES = frozenset(FrameType)
_WITH_BUFFERS = frozenset({FrameType.MSG, FrameType.RAW, FrameType.CALL, FrameType.RESULT})
_PLAIN_MSG = FrameType.MSG << 56
_CALL = FrameType.CALL
_PLAIN_CALL, _PLAIN_RESULT = FrameType.CALL << 56, FrameType.RESULT << 56


class FrameSink:
    """The owner of a `Decoder`, which decides about memory and takes frames; this one grants all, and takes none."""

    def allocate(self, type: int, size: int) -> Buffer:
        """Return memory for a piece of a frame of that type, to be filled."""
        return bytearray(size)

    def map(self, type: int, reference: Reference) -> Buffer:
        """Return the buffer of a frame of that type which lies in shared memory."""
        raise ProtocolError("a frame refers to shared memory, which can't be mapped here")

    def reserve(self, size: int) -> bool:
        """Reserve the bytes that a frame will take; False stalls the decoder, which tries again with the next feed."""
        return True

    def take(self, frame: Frame) -> bool:
        """Receive a frame; False leaves it to the decoder's ``frames``. Small plain messages are not offered."""
        return False


class Decoder:
    """
    Cuts a stream of bytes, split anywhere, into frames.

    Complete frames are appended to ``frames``. A small MSG frame without buffers, the commonest by far, is
    appended as the bare ``bytes`` of its body (an object around it would cost a quarter of the message rate);
    `frame_of` makes a `Frame` of either. Limits are checked before memory is taken for what a header announces.

    Args:
        max_body: bytes that a body may have.
        max_buffers: bytes that the buffers of a frame may have together.
        version: 2, or 1 for the original wire, which has frames of type 0 only.
        sink: decides about memory, and takes frames.

    Attributes:
        frames: what was decoded and not yet taken.
        results: where the bodies of small RESULT frames without buffers are appended, None to have them taken like
            others. Small CALL frames then aren't offered to the sink either.
        stalled: True while the sink refuses memory for the next frame; what came of it is kept.
        view: where the next bytes of a large piece belong, or None between such pieces; then call `advance`.
    """

    def __init__(
        self,
        max_body: int,
        max_buffers: int,
        *,
        version: int = 2,
        sink: FrameSink | None = None,
    ) -> None:
        self.frames: deque[Frame | bytes] = deque()
        self.results: list[bytes] | None = None
        self.stalled = False
        self._flags = BUFFERS
        self._version = version
        self._sink = sink or FrameSink()
        self._tail = b""
        self._parts: _Parts | None = None
        self.view: memoryview | None = None
        self.set_limits(max_body, max_buffers)

    def set_limits(self, max_body: int, max_buffers: int) -> None:
        """Change the limits, for frames whose header has not been read yet."""
        self._max_body = max_body = min(max_body, LARGEST)
        self._max_buffers = max_buffers
        # One chained comparison in `feed` finds "a plain MSG frame within the limit"; version 1 has none.
        self._plain_max = _PLAIN_MSG | max_body if self._version == 2 else -1

    def allow_shared(self) -> None:
        """Accept buffers that lie in shared memory: the peer is about to know that they can be mapped here."""
        self._flags = BUFFERS | SHARED

    @property
    def unfinished(self) -> bool:
        """True in the middle of a frame: an end of the stream here is a loss."""
        return bool(self._tail) or self._parts is not None

    def feed(self, data: bytes) -> None:
        """
        Decode the next bytes of the stream.

        Raises:
            ProtocolError: the stream breaks the format or a limit; the decoder is of no further use.
        """
        if self._tail:
            data = self._tail + data
            self._tail = b""
            self.stalled = False
        position, end = 0, len(data)
        if self.view is not None:
            position = self._copy(data, 0)
        append, plain_max, results = self.frames.append, self._plain_max, self.results
        call_max, result_max = _PLAIN_CALL | self._max_body, _PLAIN_RESULT | self._max_body
        while end - position >= HEADER_SIZE:
            head = unpack_head(data, position)[0]
            if _PLAIN_MSG <= head <= plain_max:
                stop = position + HEADER_SIZE + (head & LARGEST)
                if stop <= end:
                    append(data[position + HEADER_SIZE : stop])
                    position = stop
                    continue
            if results is not None and _PLAIN_CALL <= head <= result_max:
                stop = position + HEADER_SIZE + (head & LARGEST)
                if stop <= end and (head >= _PLAIN_RESULT or head <= call_max):
                    body = data[position + HEADER_SIZE : stop]
                    if head >= _PLAIN_RESULT:
                        results.append(body)
                    else:
                        append(_make(Frame, (_CALL, body, ())))
                    position = stop
                    continue
            start = self._begin(head, data, position + HEADER_SIZE)
            if start < 0:
                break
            position = self._copy(data, start)
        if position < end:
            self._tail = data[position:]

    def advance(self, count: int) -> None:
        """Account for the first ``count`` bytes of `view`, which were filled."""
        assert self.view is not None
        self.view = self.view[count:]
        if not len(self.view):
            self.view = None
            self._next_part()

    def move(self, source: Buffer, target: Buffer) -> None:
        """Move a buffer that was being received into ``source`` to ``target``; copies what is there."""
        if self._parts is None or self.view is None or self._parts.current is not source:
            return
        done = len(memoryview(source).cast("B")) - len(self.view)
        flat = memoryview(target).cast("B")
        flat[:done] = memoryview(source).cast("B")[:done]
        self._parts.current = self._parts.done[-1] = target
        self.view = flat[done:]

    def _begin(self, head: int, data: bytes, position: int) -> int:
        """Start the frame behind ``head``; return where to go on, or -1 when it takes more bytes to do so."""
        type, flags, size = head >> 56, head >> 48 & 255, head & LARGEST
        self._check(type, flags, size)
        lengths: list[int | Reference] = []
        total = size
        if flags & BUFFERS:
            if len(data) - position < 4:
                return -1
            count = _unpack_count(data, position)[0]
            self._check_count(type, count)
            unpacked = unpack_lengths(data, position + 4, count, flags)
            if unpacked is None:
                return -1
            lengths, position = unpacked
            total += self._check_lengths(lengths)
        elif len(data) - position < size <= _TAIL_LIMIT:
            return -1
        if not self._sink.reserve(total):
            self.stalled = True
            return -1
        sizes = [self._sink.map(type, one) if isinstance(one, Reference) else one for one in lengths]
        self._parts = _Parts(type, [size, *sizes])
        self._next_part(data, position)
        return self._parts_end

    def _check(self, type: int, flags: int, size: int) -> None:
        if self._version == 1:
            size |= type << 56 | flags << 48
        elif type not in _TYPES:
            raise ProtocolError(f"unknown frame type {type}")
        elif flags & ~self._flags or flags == SHARED or (flags and type not in _WITH_BUFFERS):
            raise ProtocolError(f"flags {flags:#04x} are not allowed on a frame of type {type}")
        elif type == FrameType.RAW and not flags:
            raise ProtocolError("a RAW frame has no buffer")
        if size > self._max_body:
            raise ProtocolError(f"a frame announces a body of {size:,} bytes; the limit is {self._max_body:,}")

    def _check_lengths(self, lengths: list[int | Reference]) -> int:
        """Return the sum of lengths, if it is within the limit."""
        total = sum(one.size if isinstance(one, Reference) else one for one in lengths)
        if total > self._max_buffers:
            raise ProtocolError(f"a frame announces {total:,} bytes of buffers; the limit is {self._max_buffers:,}")
        return total

    @staticmethod
    def _check_count(type: int, count: int) -> None:
        if count > MAX_BUFFER_COUNT:
            raise ProtocolError(f"a frame announces {count:,} buffers; the limit is {MAX_BUFFER_COUNT:,}")
        if type == FrameType.RAW and count != 1:
            raise ProtocolError(f"a RAW frame has {count} buffers instead of one")

    def _next_part(self, data: bytes = b"", position: int = 0) -> None:
        """Add the parts that lie whole in ``data``; for the first that doesn't, allocate memory and set the view."""
        parts = self._parts
        assert parts is not None
        while parts.sizes:
            size = parts.sizes.pop(0)
            if not isinstance(size, int):
                parts.done.append(size)
                continue
            if size <= len(data) - position:
                parts.done.append(data[position : position + size])
                position += size
                continue
            # The body of a RAW frame describes its buffer, so it is never what `recv_into` asked for.
            type = parts.type if parts.done else FrameType.MSG
            parts.current = self._sink.allocate(type, size)
            parts.done.append(parts.current)
            self.view = memoryview(parts.current).cast("B")[:size]
            self._parts_end = position
            return
        self._parts_end = position
        self._parts = None
        frame = Frame(parts.type, parts.done[0], tuple(parts.done[1:]))
        if not self._sink.take(frame):
            self.frames.append(frame)

    def _copy(self, data: bytes, position: int) -> int:
        """Copy into the view, and into those that follow it, as long as there is both; returns where that ended."""
        end = len(data)
        while self.view is not None and position < end:
            count = min(len(self.view), end - position)
            self.view[:count] = memoryview(data)[position : position + count]
            self.advance(count)
            position += count
        return position


class _Parts:
    """The parts of a frame on its way: body first, then buffers; sizes, and in their place what was mapped."""

    __slots__ = ("current", "done", "sizes", "type")

    def __init__(self, type: int, sizes: list[Any]) -> None:
        self.type = type
        self.sizes = sizes
        self.done: list[Buffer] = []
        self.current: Buffer = None
