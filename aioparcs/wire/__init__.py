"""
Frames: bytes in, frames out, and back. No I/O, no clock; ``docs/wire.md`` is the specification.

======  =======  ==============================================================
bytes   field
======  =======  ==============================================================
0       type     a `FrameType`
1       flags    1 BUFFERS, 2 SHARED; every other bit is reserved and a protocol error
2-7     length   of the body, big-endian
then             if BUFFERS: u32 count, count x u64 lengths
then             if SHARED: where the buffers are that lie in shared memory
then             the body, then the buffers
======  =======  ==============================================================

A message of version 1 (an 8-byte big-endian length, then JSON) is a frame of type 0 without flags, so one
decoder reads both.
"""

from aioparcs.wire.decoder import Decoder, FrameSink
from aioparcs.wire.frames import (
    FINISHED,
    HEADER_SIZE,
    LIMITED,
    REVOKED,
    SHARED,
    STREAM,
    Frame,
    FrameType,
    Reference,
    decode_header,
    encode_frame,
    encode_header,
    frame_of,
    pack_head,
    unpack_head,
)

__all__ = [
    "FINISHED",
    "HEADER_SIZE",
    "LIMITED",
    "REVOKED",
    "SHARED",
    "STREAM",
    "Decoder",
    "Frame",
    "FrameSink",
    "FrameType",
    "Reference",
    "decode_header",
    "encode_frame",
    "encode_header",
    "frame_of",
    "pack_head",
    "unpack_head",
]
