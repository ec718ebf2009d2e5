"""
Objects to bytes and back: MessagePack with extensions, JSON for version 1. No I/O, no clock.

A value becomes a body and out-of-band buffers; ``docs/wire.md`` is the specification. Nothing that arrives is
ever executed: no pickle, no object arrays.
"""

from aioparcs.codec.decoder import SHORT, allocate, decode, decode_checked, decode_raw, extension, short_extension
from aioparcs.codec.encoder import (
    add_context,
    digest,
    digest_arguments,
    encode,
    encode_call,
    encode_inline,
    encode_plain,
    encode_result,
)
from aioparcs.codec.json_messages import decode_json, encode_json
from aioparcs.codec.types import DIGEST, OUT_OF_BAND, Ext, named, register, registered

__all__ = [
    "DIGEST",
    "OUT_OF_BAND",
    "SHORT",
    "Ext",
    "add_context",
    "allocate",
    "decode",
    "decode_checked",
    "decode_json",
    "decode_raw",
    "digest",
    "digest_arguments",
    "encode",
    "encode_call",
    "encode_inline",
    "encode_json",
    "encode_plain",
    "encode_result",
    "extension",
    "named",
    "register",
    "registered",
    "short_extension",
]
