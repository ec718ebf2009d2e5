"""The types of frames, and frames as bytes."""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Any, NamedTuple

from aioparcs.errors import ProtocolError
from aioparcs.settings import MAX_BUFFER_COUNT

__all__ = [
    "BUFFERS",
    "FINISHED",
    "HEADER_SIZE",
    "LARGEST",
    "LIMITED",
    "REVOKED",
    "SHARED",
    "STREAM",
    "Buffer",
    "Frame",
    "FrameType",
    "Reference",
    "decode_header",
    "encode_frame",
    "encode_header",
    "frame_of",
    "pack_head",
    "unpack_head",
    "unpack_lengths",
]

HEADER_SIZE = 8
BUFFERS = 1
# Some of the buffers lie in shared memory: the highest bit of their length says so, and behind the lengths it is where.
SHARED = 2
_IN_SHARED = 1 << 63
_PART = struct.Struct(">QQQQ")
_MOST_PARTS = 16
# The type of the error that answers a call which was given back before it began.
REVOKED = "aioparcs.Recalled"
# The type of the error in place of a result that was made, and that is not where its launcher looks for it.
FINISHED = "aioparcs.Finished"
# A function that every worker of this package serves: it calls another one, for a limited time.
LIMITED = "aioparcs.limited"
# Another one: it calls a function for the items of a generator.
STREAM = "aioparcs.stream"
# The largest length that a header can hold.
LARGEST = (1 << 48) - 1

# One header as a 64-bit integer: type, flags and length are its high byte, the next one, and the rest.
pack_head = struct.Struct(">Q").pack
unpack_head = struct.Struct(">Q").unpack_from

Buffer = Any  # whatever supports the buffer protocol: typing can't say so before Python 3.12


class FrameType(IntEnum):
    """The type of a frame. Types 16 to 23, 25 to 27, and 29, belong to control connections."""

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
    CREDIT = 24
    FILES = 25
    STACK = 26
    USAGE = 27
    MAPPED = 28
    MEMORY = 29


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


class Reference(NamedTuple):
    """
    A buffer that lies in shared memory, in place of its bytes.

    Attributes:
        size: its bytes.
        parts: where they are: for each part a descriptor of the process that refers to it, the number of the memory in
            the kernel, where the part begins in it, and the part's size.
    """

    size: int
    parts: tuple[tuple[int, int, int, int], ...]

    @property
    def saved(self) -> int:
        """How many bytes fewer are written than for the buffer itself."""
        return self.size - _PART.size * len(self.parts)


def encode_header(type: int, size: int) -> bytes:
    """Return the 8 bytes before a body of ``size`` bytes that has no buffers."""
    return pack_head(type << 56 | size)


def decode_header(head: bytes) -> tuple[int, int, int]:
    """Return type, flags and the body's size from the 8 bytes of a header, unchecked."""
    value = unpack_head(head)[0]
    return value >> 56, value >> 48 & 255, value & LARGEST


def encode_frame(type: int, body: Buffer = b"", buffers: tuple[Buffer, ...] = ()) -> list[Buffer]:
    """
    Return the pieces of a frame, to be written one after the other.

    The first piece holds header, lengths, references and body; the buffers follow as flat memoryviews, uncopied. A
    buffer may be a `Reference`.

    Raises:
        ValueError: more than `MAX_BUFFER_COUNT` buffers.
    """
    if not buffers:
        return [pack_head(type << 56 | len(body)) + body]
    if len(buffers) > MAX_BUFFER_COUNT:
        raise ValueError(f"{len(buffers)} buffers in one frame; {MAX_BUFFER_COUNT} is the limit")
    references = [buffer for buffer in buffers if isinstance(buffer, Reference)]
    if references:
        return _encode_shared(type, body, buffers, references)
    views = [memoryview(buffer).cast("B") for buffer in buffers]
    sizes = struct.pack(f">I{len(views)}Q", len(views), *map(len, views))
    return [pack_head(type << 56 | BUFFERS << 48 | len(body)) + sizes + body, *views]


def _encode_shared(type: int, body: Buffer, buffers: tuple[Buffer, ...], references: list[Reference]) -> list[Buffer]:
    views = [memoryview(buffer).cast("B") for buffer in buffers if not isinstance(buffer, Reference)]
    lengths = [one.size | _IN_SHARED if isinstance(one, Reference) else memoryview(one).nbytes for one in buffers]
    sizes = struct.pack(f">I{len(lengths)}Q", len(lengths), *lengths)
    places = b"".join(_PART.pack(*part) for one in references for part in one.parts)
    return [pack_head(type << 56 | (BUFFERS | SHARED) << 48 | len(body)) + sizes + places + body, *views]


def unpack_lengths(data: bytes, position: int, count: int, flags: int) -> tuple[list[int | Reference], int] | None:
    """
    Return the lengths of so many buffers, or where they lie in shared memory, and the position behind all that.

    None: it is not there as a whole.

    Raises:
        ProtocolError: the parts of a buffer don't make it up.
    """
    end = position + 8 * count
    if len(data) < end:
        return None
    lengths: list[int | Reference] = []
    for length in struct.unpack_from(f">{count}Q", data, position):
        if not (flags & SHARED and length & _IN_SHARED):
            lengths.append(length)
            continue
        parts: list[tuple[int, int, int, int]] = []
        left = size = length ^ _IN_SHARED
        if not size:
            raise ProtocolError("nothing lies in shared memory")
        while left > 0:
            if len(data) < end + _PART.size:
                return None
            parts.append(_PART.unpack_from(data, end))
            left -= parts[-1][3]
            end += _PART.size
            if left < 0 or not parts[-1][3] or len(parts) > _MOST_PARTS:
                raise ProtocolError(f"the parts of {size:,} bytes in shared memory have other sizes, or are too many")
        lengths.append(Reference(size, tuple(parts)))
    return lengths, end


def frame_of(item: Frame | bytes) -> Frame:
    """Return a `Frame` of what a `Decoder` appended."""
    return item if isinstance(item, Frame) else Frame(FrameType.MSG, item)
