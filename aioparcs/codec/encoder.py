"""
The encoder: objects to body and buffers.

The common message, a scalar or a flat list of scalars, goes straight to the MessagePack packer. Everything
else is walked first: the walk replaces what MessagePack doesn't know by extensions, moves large bytes and
arrays out of band, and knows the place of whatever cannot be sent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any

from aioparcs.codec import arrays
from aioparcs.codec.types import DIGEST, OUT_OF_BAND, Ext
from aioparcs.codec.walk import SCALARS, UNPACKABLE, DigestWalk, Walk, extension, flat, located_error, packer
from aioparcs.errors import EncodeError, describe
from aioparcs.settings import EXTENSIONS

__all__ = [
    "add_context",
    "digest",
    "digest_arguments",
    "encode",
    "encode_call",
    "encode_inline",
    "encode_plain",
    "encode_result",
]

_empty_hash = blake2b(digest_size=DIGEST)
_only_scalars = SCALARS.issuperset
_only_plain_keys = frozenset({str, int}).issuperset

Buffers = tuple[Any, ...]


def encode_plain(value: Any) -> bytes | None:
    """Return the body of the commonest messages, scalars and flat containers of scalars; None for all others."""
    kind = type(value)
    try:
        if kind is list:
            if not _only_scalars(map(type, value)):
                return None
        elif kind is dict:
            if not _only_scalars(map(type, value.values())) or not _only_plain_keys(map(type, value)):
                return None
        elif kind not in SCALARS:
            return None
        return packer.pack(value)
    except Exception:  # an integer beyond 64 bits, invalid Unicode, a class without a hash: the walk finds it
        return None


def encode(value: Any, extensions: int = EXTENSIONS) -> tuple[bool, bytes, Buffers]:
    """
    Encode a message of any value.

    Args:
        value: the message.
        extensions: the highest extension that the peer knows; without ours a tuple is sent as a list.

    Returns:
        Whether it is a raw message (a large ``bytes`` or array by itself), the body, and the buffers.

    Raises:
        EncodeError: something in the value cannot be sent; it names the place.
    """
    body = encode_plain(value)
    if body is not None:
        return False, body, ()
    try:
        raw = _encode_raw(value)
    except BaseException as error:
        failure = located_error(error, "$")
        raise failure from failure.__cause__
    return (True, *raw) if raw else (False, *encode_inline(value, extensions))


def _encode_raw(value: Any) -> tuple[bytes, Buffers] | None:
    """Return the body and the buffer of a raw message; None if the value is to be sent as any other."""
    kind = type(value)
    if kind is bytes or kind is bytearray or kind is memoryview:
        view = flat(value)
        if len(view) >= OUT_OF_BAND:
            return b"", (view,)
    elif arrays.is_array(value) and value.nbytes >= OUT_OF_BAND:
        dtype, shape, order, data = arrays.take_apart(value, "")
        return packer.pack([dtype, shape, order]), (data,)
    return None


def encode_call(
    call_id: int, name: str, args: Sequence[Any], kwargs: Mapping[str, Any], extensions: int = EXTENSIONS
) -> tuple[bytes, Buffers]:
    """
    Return the body and the buffers of a call; quick where all arguments are scalars.

    Raises:
        EncodeError: as `encode`.
    """
    try:
        if not kwargs and _only_scalars(map(type, args)):
            return packer.pack((call_id, name, args, {})), ()
    except Exception:  # the walk says where
        pass
    # Whatever kinds these are: the values count.
    return encode_inline([call_id, name, list(args), dict(kwargs)], extensions)


def add_context(body: bytes, context: Mapping[str, str]) -> bytes:
    """Return the body of a call with its trace context as the fifth element."""
    return b"\x95" + body[1:] + packer.pack(dict(context))


def encode_result(call_id: int, ok: bool | None, value: Any, extensions: int = EXTENSIONS) -> tuple[bytes, Buffers]:
    """
    Return the body and the buffers of a result, with None of an item of a stream; quick for scalars, and lists of them.

    Raises:
        EncodeError: as `encode`.
    """
    kind = type(value)
    try:
        if kind in SCALARS or ((kind is list or kind is tuple) and _only_scalars(map(type, value))):
            if kind is tuple and extensions >= EXTENSIONS:
                value = extension((Ext.TUPLE, packer.pack(value)))
            return packer.pack((call_id, ok, value)), ()
    except Exception:  # the walk says where
        pass
    return encode_inline([call_id, ok, value], extensions)


def encode_inline(value: Any, extensions: int = EXTENSIONS) -> tuple[bytes, Buffers]:
    """
    Return the body and the buffers of any message that isn't raw.

    Raises:
        EncodeError: as `encode`.
    """
    return _encode_walking(Walk, value, extensions)


def digest(value: Any) -> bytes:
    """
    Return a digest of a value as it is sent, the same in each process.

    Values that are sent alike have one digest; besides, members of sets have no order. Items of dictionaries have, and
    numbers of different types are different values: 1, 1.0 and True.

    Raises:
        EncodeError: as `encode`.
    """
    body = encode_plain(value)
    if body is None:
        body, _ = _encode_walking(DigestWalk, value, EXTENSIONS)
    return blake2b(body, digest_size=DIGEST).digest()


def digest_arguments(args: Sequence[Any], kwargs: Mapping[str, Any]) -> bytes:
    """
    Return the digest of a call's arguments: of their list, or of ``{"args": ..., "kwargs": ...}``; quick for scalars.

    Raises:
        EncodeError: as `encode`.
    """
    try:
        if not kwargs and _only_scalars(map(type, args)):
            hashed = _empty_hash.copy()  # in two thirds of the time of a new one
            hashed.update(packer.pack(args))
            return hashed.digest()
    except Exception:  # the walk says where
        pass
    return digest({"args": list(args), "kwargs": dict(kwargs)} if kwargs else list(args))


def _encode_walking(kind: type[Walk], value: Any, extensions: int) -> tuple[bytes, Buffers]:
    try:
        return _pack_walk(kind(extensions), value)
    except UNPACKABLE:
        pass  # a list of scalars may hold invalid Unicode text, or an integer beyond 64 bits
    try:
        return _pack_walk(kind(extensions, strict=True), value)
    except UNPACKABLE as error:  # it has no place to name, as when the stack is too deep
        raise EncodeError("$", f"can't be packed: {describe(error)}") from error


def _pack_walk(walk: Walk, value: Any) -> tuple[bytes, Buffers]:
    try:
        return packer.pack(walk.value(value, 0)), tuple(walk.buffers)
    except BaseException as error:
        failure = walk.located(error, "$")
        raise failure from failure.__cause__
