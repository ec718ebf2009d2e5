"""RESULT frames, decoded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgpack

from aioparcs import codec
from aioparcs.channel.error_codec import decode_call_error
from aioparcs.errors import DecodeError, ProtocolError
from aioparcs.wire import Decoder, Frame, frame_of

__all__ = ["call_id_of", "read_results", "read_unsent"]


def read_results(results: Sequence[Frame | bytes]) -> list[tuple[int, bool, Any]]:
    """
    Read RESULTs: for each the call's id, whether the function returned, and what, or the error.

    What cannot be decoded here is an error too.
    """
    read: list[tuple[int, bool, Any]] = []
    for result in results:
        body, buffers = (result, ()) if isinstance(result, bytes) else (result.body, result.buffers)
        try:
            call_id, ok, value = codec.decode(body, buffers)
            if type(call_id) is not int or type(ok) is not bool:
                raise TypeError("an answer is [id, ok, value]")
        except Exception as error:
            reason = str(error) if isinstance(error, DecodeError) else "the peer's answer to a call is malformed"
            read.append((call_id_of(body), False, DecodeError(reason)))
        else:
            read.append((call_id, True, value) if ok else (call_id, False, decode_call_error(value)))
    return read


def read_unsent(frames: bytes) -> list[tuple[int, bool, Any]] | None:
    """Return the results that a worker had not sent when it ended, as `read_results` does; None if they are damaged."""
    decoder = Decoder(len(frames), len(frames))
    try:
        decoder.feed(frames)
    except ProtocolError:
        return None
    return read_results([frame_of(frame) for frame in decoder.frames])


def call_id_of(body: Any) -> int:
    """Return the id alone, the first element of the list, without decoding the rest; -1 where there is none."""
    head = bytes(body[:4])
    if len(head) == 4 and head[0] & 0xF0 == 0x90:  # the head of a short list; then an integer of one byte, or of two
        if head[1] < 0x80:
            return head[1]
        if head[1] == 0xCD:
            return head[2] << 8 | head[3]
    unpacker = msgpack.Unpacker(max_buffer_size=16)
    unpacker.feed(bytes(body[:16]))
    try:
        unpacker.read_array_header()
        call_id = unpacker.unpack()
    except Exception:
        return -1
    return call_id if type(call_id) is int else -1
