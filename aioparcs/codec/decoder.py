"""Body and buffers to objects."""

from __future__ import annotations

import json
import sys
from typing import Any

import msgpack

from aioparcs.address import Address
from aioparcs.codec import arrays
from aioparcs.codec.types import MAX_EXT_DEPTH, Ext, named
from aioparcs.errors import DecodeError

__all__ = ["allocate", "decode", "decode_json", "decode_raw", "extension"]

_ADDRESS = [str, str, int, int, str]
# What the library may raise for a body that is not one MessagePack value that can be made here.
_BAD_BODY = (ValueError, TypeError, OverflowError, RecursionError, msgpack.UnpackException)


def allocate(_type: int, size: int) -> Any:
    """Get memory to receive into; NumPy's, when it is loaded, isn't zeroed first."""
    numpy = sys.modules.get("numpy")
    return bytearray(size) if numpy is None else numpy.empty(size, "u1")


def decode(body: Any, buffers: tuple[Any, ...] = ()) -> Any:
    """
    Make the value of a message, a call or a result.

    Raises:
        DecodeError: the body is malformed, or holds a type that is not registered here.
    """
    try:
        return msgpack.unpackb(
            body, strict_map_key=False, timestamp=3, ext_hook=_Hook(buffers) if buffers else extension
        )
    except DecodeError:
        raise
    except _BAD_BODY as error:
        raise DecodeError(f"a message that can't be decoded: {_reason(error)}") from error


def decode_raw(body: Any, buffer: Any) -> Any:
    """
    Make the bytes, or the array that ``body`` describes, of a raw message.

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
    Make the value of a JSON frame.

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
    Makes the values of extensions.

    One for each message that has buffers and one for all others, whatever thread they are decoded in: so it
    never changes, and what is within an extension gets one of its own.
    """

    __slots__ = ("_buffers", "_depth")

    def __init__(self, buffers: tuple[Any, ...] = (), depth: int = 0) -> None:
        self._buffers = buffers
        self._depth = depth

    def __call__(self, code: int, data: bytes) -> Any:
        if code == Ext.INTEGER:
            return int.from_bytes(data, "big", signed=True)
        if self._depth >= MAX_EXT_DEPTH:
            raise DecodeError(f"extensions nested more than {MAX_EXT_DEPTH} deep")
        inner = _Hook(self._buffers, self._depth + 1)
        return self._make(code, msgpack.unpackb(data, strict_map_key=False, timestamp=3, ext_hook=inner))

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
        if type(index) is not int or not 0 <= index < len(self._buffers):
            raise DecodeError(f"a message names a buffer that it doesn't have; it has {len(self._buffers)}")
        return self._buffers[index]

    @staticmethod
    def _make_user(name: Any, value: Any) -> Any:
        entry = named.get(name)
        if entry is None:
            raise DecodeError(f"the type {name!r} is not registered here; see aioparcs.register")
        try:
            return entry.decode(value)
        except Exception as error:
            raise DecodeError(f"{name} can't be decoded: {error!r}") from error


extension = _Hook()
