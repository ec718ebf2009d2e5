"""The types of frames, and frames as bytes."""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Any, NamedTuple

from aioparcs.settings import MAX_BUFFER_COUNT

__all__ = [
    "BUFFERS",
    "HEADER_SIZE",
    "LARGEST",
    "LIMITED",
    "REVOKED",
    "STREAM",
    "Buffer",
    "Frame",
    "FrameType",
    "decode_header",
    "encode_frame",
    "encode_header",
    "frame_of",
    "pack_head",
    "unpack_head",
]

HEADER_SIZE = 8
BUFFERS = 1
# The type of the error that answers a call which was given back before it began.
REVOKED = "aioparcs.Recalled"
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
    """The type of a frame. Types 16 to 23, and 25 to 27, belong to control connections."""

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
    return value >> 56, value >> 48 & 255, value & LARGEST


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
