"""
Frames: bytes in, frames out, and back. No I/O, no clock; ``docs/wire.md`` is the specification.

======  =======  ==============================================================
bytes   field
======  =======  ==============================================================
0       type     a `FrameType`
1       flags    1 BUFFERS; every other bit is reserved and a protocol error
2-7     length   of the body, big-endian
then             if BUFFERS: u32 count, count x u64 lengths
then             the body, then the buffers
======  =======  ==============================================================

A message of version 1 (an 8-byte big-endian length, then JSON) is a frame of type 0 without flags, so one
decoder reads both.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Callable
from enum import IntEnum
from typing import Any, NamedTuple

from aioparcs.errors import ProtocolError
from aioparcs.settings import MAX_BUFFER_COUNT

__all__ = [
    "HEADER_SIZE",
    "REVOKED",
    "Decoder",
    "Frame",
    "FrameType",
    "decode_header",
    "encode_frame",
    "encode_header",
    "frame_of",
    "pack_head",
]

HEADER_SIZE = 8
BUFFERS = 1
# The type of the error that answers a call which was given back before it began.
REVOKED = "aioparcs.Recalled"
_LENGTH = (1 << 48) - 1
# A body that is incomplete and longer than this is gathered in memory of its own; a shorter one waits in the tail.
_TAIL_LIMIT = 4096

# One header as a 64-bit integer: type, flags and length are its high byte, the next one, and the rest.
pack_head = struct.Struct(">Q").pack
unpack_head = struct.Struct(">Q").unpack_from
_unpack_count = struct.Struct(">I").unpack_from

_make = tuple.__new__  # a named tuple without the detour through its own constructor
Buffer = Any  # whatever supports the buffer protocol: typing can't say so before Python 3.12


class FrameType(IntEnum):
    """The type of a frame. Types from 16 on belong to control connections."""

    JSON = 0
    MSG = 1
    RAW = 2
    CALL = 3
    RESULT = 4
    CANCEL = 5
    ERROR = 6
    BYE = 7
    PING = 8
    PONG = 9
    HELLO = 10
    AUTH = 11
    WELCOME = 12
    REJECT = 13
    RELAY = 14
    BARRIER = 15
    START = 16
    STARTED = 17
    EXITED = 18
    KILL = 19
    LOG = 20
    PROGRESS = 21
    SPAWN = 22
    SPAWNED = 23


_TYPES = frozenset(FrameType)
_WITH_BUFFERS = frozenset({FrameType.MSG, FrameType.RAW, FrameType.CALL, FrameType.RESULT})
_PLAIN_MSG = FrameType.MSG << 56
_CALL = FrameType.CALL
_PLAIN_CALL, _PLAIN_RESULT = FrameType.CALL << 56, FrameType.RESULT << 56


class Frame(NamedTuple):
    """
    One frame.

    Attributes:
        type: a `FrameType` value.
        body: the body, any bytes-like object.
        buffers: the out-of-band buffers, in order.
    """

    type: int
    body: Buffer
    buffers: tuple[Buffer, ...] = ()


def encode_header(type: int, size: int) -> bytes:
    """Return the 8 bytes before a body of ``size`` bytes that has no buffers."""
    return pack_head(type << 56 | size)


def decode_header(head: bytes) -> tuple[int, int, int]:
    """Return type, flags and the body's size from the 8 bytes of a header, unchecked."""
    value = unpack_head(head)[0]
    return value >> 56, value >> 48 & 255, value & _LENGTH


def encode_frame(type: int, body: Buffer = b"", buffers: tuple[Buffer, ...] = ()) -> list[Buffer]:
    """
    Return the pieces of a frame, to be written one after the other.

    The first piece holds header, lengths and body; the buffers follow as flat memoryviews, uncopied.

    Raises:
        ValueError: more than `MAX_BUFFER_COUNT` buffers.
    """
    if not buffers:
        return [pack_head(type << 56 | len(body)) + body]
    if len(buffers) > MAX_BUFFER_COUNT:
        raise ValueError(f"{len(buffers)} buffers in one frame; {MAX_BUFFER_COUNT} is the limit")
    views = [memoryview(buffer).cast("B") for buffer in buffers]
    sizes = struct.pack(f">I{len(views)}Q", len(views), *map(len, views))
    return [pack_head(type << 56 | BUFFERS << 48 | len(body)) + sizes + body, *views]


def frame_of(item: Frame | bytes) -> Frame:
    """Return a `Frame` of what a `Decoder` appended."""
    return item if isinstance(item, Frame) else Frame(FrameType.MSG, item)


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
        allocate: called with (frame type, size) for memory that is to be filled.
        reserve: called with the bytes that a frame will take; False makes the decoder ``stalled``:
            it keeps what it has and goes on with the next ``feed``.
        take: called with each frame but small plain messages; True keeps it out of ``frames``.

    Attributes:
        frames: what was decoded and not yet taken.
        results: where the bodies of small RESULT frames without buffers are appended, None to have them taken like
            others. Small CALL frames then aren't offered to ``take`` either.
        stalled: True while ``reserve`` refuses the next frame.
        view: where the next bytes of a large piece belong, or None between such pieces; then call `advance`.
    """

    def __init__(
        self,
        max_body: int,
        max_buffers: int,
        *,
        version: int = 2,
        allocate: Callable[[int, int], Buffer] = lambda _type, size: bytearray(size),
        reserve: Callable[[int], bool] = lambda _size: True,
        take: Callable[[Frame], bool] = lambda _frame: False,
    ) -> None:
        self.frames: deque[Frame | bytes] = deque()
        self.results: list[bytes] | None = None
        self.stalled = False
        self._version = version
        self._allocate = allocate
        self._reserve = reserve
        self._take = take
        self._tail = b""
        self._parts: _Parts | None = None
        self.view: memoryview | None = None
        self.set_limits(max_body, max_buffers)

    def set_limits(self, max_body: int, max_buffers: int) -> None:
        """Change the limits, for frames whose header has not been read yet."""
        self._max_body = max_body = min(max_body, _LENGTH)
        self._max_buffers = max_buffers
        # One chained comparison in `feed` finds "a plain MSG frame within the limit"; version 1 has none.
        self._plain_max = _PLAIN_MSG | max_body if self._version == 2 else -1

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
                stop = position + HEADER_SIZE + (head & _LENGTH)
                if stop <= end:
                    append(data[position + HEADER_SIZE : stop])
                    position = stop
                    continue
            if results is not None and _PLAIN_CALL <= head <= result_max:
                stop = position + HEADER_SIZE + (head & _LENGTH)
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
        type, flags, size = head >> 56, head >> 48 & 255, head & _LENGTH
        self._check(type, flags, size)
        sizes: tuple[int, ...] = ()
        if flags & BUFFERS:
            if len(data) - position < 4:
                return -1
            count = _unpack_count(data, position)[0]
            self._check_count(type, count)
            if len(data) - position < 4 + 8 * count:
                return -1
            sizes = struct.unpack_from(f">{count}Q", data, position + 4)
            if sum(sizes) > self._max_buffers:
                raise ProtocolError(
                    f"a frame announces {sum(sizes):,} bytes of buffers; the limit is {self._max_buffers:,}"
                )
            position += 4 + 8 * count
        elif len(data) - position < size <= _TAIL_LIMIT:
            return -1
        if not self._reserve(size + sum(sizes)):
            self.stalled = True
            return -1
        self._parts = _Parts(type, [size, *sizes])
        self._next_part(data, position)
        return self._parts_end

    def _check(self, type: int, flags: int, size: int) -> None:
        if self._version == 1:
            size |= type << 56 | flags << 48
        elif type not in _TYPES:
            raise ProtocolError(f"unknown frame type {type}")
        elif flags & ~BUFFERS or (flags and type not in _WITH_BUFFERS):
            raise ProtocolError(f"flags {flags:#04x} are not allowed on a frame of type {type}")
        elif type == FrameType.RAW and not flags:
            raise ProtocolError("a RAW frame has no buffer")
        if size > self._max_body:
            raise ProtocolError(f"a frame announces a body of {size:,} bytes; the limit is {self._max_body:,}")

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
            if size <= len(data) - position:
                parts.done.append(data[position : position + size])
                position += size
                continue
            # The body of a RAW frame describes its buffer, so it is never what `recv_into` asked for.
            type = parts.type if parts.done else FrameType.MSG
            parts.current = self._allocate(type, size)
            parts.done.append(parts.current)
            self.view = memoryview(parts.current).cast("B")[:size]
            self._parts_end = position
            return
        self._parts_end = position
        self._parts = None
        frame = Frame(parts.type, parts.done[0], tuple(parts.done[1:]))
        if not self._take(frame):
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
    """The parts of a frame on its way: body first, then buffers."""

    __slots__ = ("current", "done", "sizes", "type")

    def __init__(self, type: int, sizes: list[int]) -> None:
        self.type = type
        self.sizes = sizes
        self.done: list[Buffer] = []
        self.current: Buffer = None
