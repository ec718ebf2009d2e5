"""The decoder: body and buffers to objects."""

from __future__ import annotations

import json
import mmap
import sys
from collections import Counter
from typing import Any

import msgpack

from aioparcs.address import Address
from aioparcs.codec import arrays
from aioparcs.codec.types import MAX_EXT_DEPTH, Ext, named
from aioparcs.errors import DecodeError

__all__ = ["allocate", "decode", "decode_checked", "decode_json", "decode_raw", "extension"]

_ADDRESS = [str, str, int, int, str]
_unpack = msgpack.unpackb
# What the library may raise for a body that is not one MessagePack value that can be made here.
_BAD_BODY = (ValueError, TypeError, OverflowError, RecursionError, msgpack.UnpackException)
# Keys of one map that may have one hash: looking a key up takes time by their number.
_MOST_ALIKE = 64
# Bytes from which on memory is the kernel's own, which costs nothing before something is written to it.
_MAPPED = 1 << 20


class _NeedsCheckError(Exception):
    """The message holds extensions that could be keys of maps."""


def allocate(_type: int, size: int) -> Any:
    """
    Return memory to receive into; no page of it is touched before bytes arrive: a peer may announce any size.

    Raises:
        MemoryError: there is none.
    """
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        return numpy.empty(size, "u1")
    if size < _MAPPED:
        return bytearray(size)
    try:
        return mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except OSError as error:
        raise MemoryError(f"no memory for {size:,} bytes") from error


def decode(body: Any, buffers: tuple[Any, ...] = ()) -> Any:
    """
    Return the value of a message, a call or a result.

    Raises:
        DecodeError: the body is malformed, or holds a type that is not registered here.
    """
    try:
        if buffers:
            return _Hook(buffers).unpack(body)
        return _unpack(body, strict_map_key=False, timestamp=3, ext_hook=extension)
    except Exception:  # what needs a check gets one, and what is wrong raises again
        pass
    return decode_checked(body, buffers)


def decode_checked(body: Any, buffers: tuple[Any, ...] = ()) -> Any:
    """Decode as `decode` does, slower: for bodies that the library alone fails to decode with `extension`."""
    try:
        return _Hook(buffers, checked=True).unpack(body)
    except DecodeError:
        raise
    except _BAD_BODY as error:
        raise DecodeError(f"a message that can't be decoded: {_reason(error)}") from error


def decode_raw(body: Any, buffer: Any) -> Any:
    """
    Return the bytes of a raw message, or the array that ``body`` describes.

    Raises:
        DecodeError: the description doesn't fit the buffer.
    """
    if not len(body):
        return bytes(buffer)
    try:
        dtype, shape, order = msgpack.unpackb(body)
    except _BAD_BODY as error:
        raise DecodeError(f"a raw message whose description can't be decoded: {_reason(error)}") from error
    return arrays.put_together(dtype, shape, order, buffer)


def decode_json(body: Any) -> Any:
    """
    Return the value of a JSON frame.

    Raises:
        DecodeError: the body is not JSON.
    """
    try:
        return json.loads(bytes(body))
    except (ValueError, RecursionError) as error:
        raise DecodeError(f"a message that is not JSON: {error}") from error


def _reason(error: BaseException) -> str:
    # Not repr: the library's "extra data" holds the whole value, and a value from outside may not bear quoting.
    return str(error) or type(error).__name__


class _Hook:
    """
    The hook that returns the values of extensions.

    One for each message that has buffers and one for all others, whatever thread they are decoded in: so that one
    never changes, and what is within an extension gets one of its own.

    Keys that are extensions may be chosen to have one hash, and a map of many such takes time by the square of their
    number. Looking at keys is slow, so it is done only for messages with integers beyond 64 bits or types of users,
    which are decoded again for it.

    Args:
        buffers: the message's buffers.
        checked: whether keys are looked at.
    """

    __slots__ = ("_checked", "_count", "_depth", "_unused")

    def __init__(self, buffers: tuple[Any, ...] = (), *, checked: bool = False) -> None:
        self._unused = dict(enumerate(buffers))
        self._count = len(buffers)
        self._checked = checked
        self._depth = 0

    def unpack(self, body: Any) -> Any:
        """Return the value of a body, or of what is within an extension."""
        pairs = _make_map if self._checked else None
        return msgpack.unpackb(body, strict_map_key=False, timestamp=3, ext_hook=self, object_pairs_hook=pairs)

    def __call__(self, code: int, data: bytes) -> Any:
        if not self._checked and (code == Ext.INTEGER or code == Ext.USER):
            raise _NeedsCheckError
        if code == Ext.INTEGER:
            return int.from_bytes(data, "big", signed=True)
        if self._depth >= MAX_EXT_DEPTH:
            raise DecodeError(f"extensions nested more than {MAX_EXT_DEPTH} deep")
        return self._make(code, self._inner().unpack(data))

    def _inner(self) -> _Hook:
        inner = _Hook(checked=self._checked)
        inner._unused, inner._count, inner._depth = self._unused, self._count, self._depth + 1
        return inner

    def _make(self, code: int, value: Any) -> Any:
        if code == Ext.BYTES:
            return bytes(self._buffer(value))
        if code == Ext.ARRAY:
            dtype, shape, order, where = value
            return arrays.put_together(dtype, shape, order, where if isinstance(where, bytes) else self._buffer(where))
        if code == Ext.ADDRESS:
            if [type(field) for field in value] != _ADDRESS:
                raise DecodeError("an address is [scheme, host, port, worker, fingerprint]")
            return Address(*value)
        if code == Ext.USER:
            return self._make_user(*value)
        raise DecodeError(f"unknown MessagePack extension {code}")

    def _buffer(self, index: Any) -> Any:
        if type(index) is not int or not 0 <= index < self._count:
            raise DecodeError(f"a message names a buffer that it doesn't have; it has {self._count}")
        buffer = self._unused.pop(index, None)
        if buffer is None:
            raise DecodeError(f"a message names its buffer {index} twice")
        return buffer

    @staticmethod
    def _make_user(name: Any, value: Any) -> Any:
        entry = named.get(name)
        if entry is None:
            raise DecodeError(f"the type {name!r} is not registered here; see aioparcs.register")
        try:
            return entry.decode(value)
        except Exception as error:
            raise DecodeError(f"{name} can't be decoded: {error!r}") from error


def _make_map(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
    if len(pairs) > _MOST_ALIKE and max(Counter(hash(key) for key, _ in pairs).values()) > _MOST_ALIKE:
        raise DecodeError(f"more than {_MOST_ALIKE} keys of a map have the same hash")
    return dict(pairs)


extension = _Hook()
