"""
The format of a journal: records to bytes and back. No input or output, no clock.

``docs/journal.md`` is the specification. A file is a line that names the format, and records, one behind the other.
"""

from __future__ import annotations

import struct
from typing import Any, NamedTuple
from zlib import crc32

import msgpack

from aioparcs import codec, wire
from aioparcs.errors import DecodeError
from aioparcs.wire import Decoder, FrameType

__all__ = [
    "FORMAT",
    "HEAD_SIZE",
    "KEY_SIZE",
    "MAGIC",
    "FunctionRecord",
    "Head",
    "ResultHead",
    "decode_value",
    "encode_function",
    "encode_result",
    "encode_small_results",
    "read_head",
    "read_payload",
]

MAGIC = b"aioparcs journal "
FORMAT = 1
KEY_SIZE = codec.DIGEST
HEAD_SIZE = 16

_FUNCTION, _RESULT = 1, 2
_LARGEST = (1 << 48) - 1
_HEADS: dict[int, tuple[bytes, int, bytes]] = {}  # of small results, by the size of their bodies
_SMALL = 1 << 12  # bytes of a body
# A record's head: the size of its payload, the checksum of that, and one of these two.
_head = struct.Struct(">QI")
_check = struct.Struct(">I")
# The beginning of a payload: its kind, and the function's number. Of a result also the time, and the key.
_kind = struct.Struct(">BI")
_result = struct.Struct(f">BId{KEY_SIZE}s")
_result_start = struct.Struct(">BId")


class Head(NamedTuple):
    """The head of a record: the size of its payload in bytes, and the payload's checksum."""

    size: int
    checksum: int


class FunctionRecord(NamedTuple):
    """
    A function of which results follow.

    Attributes:
        number: its number in the file, counted from 0.
        name: what it is called, ``module:name``.
        version: the hash of what it is.
    """

    number: int
    name: str
    version: bytes


class ResultHead(NamedTuple):
    """
    A result, but for its value.

    Attributes:
        function: the function's number.
        key: the hash of the arguments, and of how many equal ones there were before.
        time: when it was written, in seconds since the epoch.
        value_at: where the value begins in the payload.
    """

    function: int
    key: bytes
    time: float
    value_at: int


def encode_function(function: FunctionRecord) -> list[Any]:
    """Return the pieces of a record, to be written one after the other."""
    number, name, version = function
    return _record([_kind.pack(_FUNCTION, number) + msgpack.packb([name, version])])


def encode_result(function: int, key: bytes, time: float, value: Any) -> list[Any]:
    """
    Return the pieces of a record; large buffers are the value's own memory.

    Raises:
        EncodeError: the value can't be encoded.
    """
    is_raw, body, buffers = codec.encode(value)
    frame = wire.encode_frame(FrameType.RAW if is_raw else FrameType.MSG, body, buffers)
    return _record([_result.pack(_RESULT, function, time, key), *frame])


def encode_small_results(function: int, time: float, keys: list[bytes], values: list[Any]) -> list[bytes] | None:
    """Return the records of the commonest results, scalars and short lists of them; None if one is another."""
    records: list[bytes] = []
    start, encode = _result_start.pack(_RESULT, function, time), codec.encode_plain
    for key, value in zip(keys, values, strict=True):
        body = encode(value)
        if body is None or (size := len(body)) >= _SMALL:
            return None
        head, checksum, frame = _HEADS.get(size) or _make_heads(size)
        payload = start + key + frame + body
        check = crc32(payload).to_bytes(4, "big")
        records.append(head + check + crc32(check, checksum).to_bytes(4, "big") + payload)
    return records


def _make_heads(size: int) -> tuple[bytes, int, bytes]:
    """Return how the record of a body of this size begins, the checksum of that, and the header of its frame."""
    (frame,) = wire.encode_frame(FrameType.MSG, bytes(size))
    head = (_result.size + len(frame)).to_bytes(8, "big")
    _HEADS[size] = head, crc32(head), frame[: len(frame) - size]
    return _HEADS[size]


def read_head(data: bytes) -> Head | None:
    """Return a record's head, None if it is damaged."""
    size, checksum = _head.unpack_from(data)
    (check,) = _check.unpack_from(data, _head.size)
    return Head(size, checksum) if check == crc32(data[: _head.size]) and size <= _LARGEST else None


def read_payload(head: Head, payload: bytes) -> FunctionRecord | ResultHead | None:
    """Return the record of a payload, None if it is damaged."""
    if crc32(payload) != head.checksum or len(payload) != head.size:
        return None
    try:
        kind, number = _kind.unpack_from(payload)
        if kind == _FUNCTION:
            name, version = msgpack.unpackb(payload[_kind.size :])
            return FunctionRecord(number, name, version) if (type(name), type(version)) == (str, bytes) else None
        if kind == _RESULT:
            _, _, time, key = _result.unpack_from(payload)
            return ResultHead(number, key, time, _result.size)
    except (struct.error, ValueError, TypeError, msgpack.UnpackException):
        pass
    return None


def decode_value(frame: bytes) -> Any:
    """
    Return the value of a result's frame, in memory of its own.

    Raises:
        DecodeError: it can't be decoded, as when its type is not registered here.
    """
    decoder = Decoder(len(frame), len(frame))
    decoder.feed(frame)
    if len(decoder.frames) != 1:
        raise DecodeError("a result of a journal is the frame of one message")
    found = wire.frame_of(decoder.frames.popleft())
    if found.type == FrameType.RAW:
        return codec.decode_raw(found.body, found.buffers[0])
    return codec.decode(found.body, found.buffers)


def _record(pieces: list[Any]) -> list[Any]:
    checksum = size = 0
    for piece in pieces:
        checksum = crc32(piece, checksum)
        size += len(piece)
    head = _head.pack(size, checksum)
    return [head + _check.pack(crc32(head)), *pieces]
