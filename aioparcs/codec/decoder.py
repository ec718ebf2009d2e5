"""The decoder: body and buffers to objects."""

from __future__ import annotations

import mmap
import sys
from typing import Any

import msgpack

from aioparcs.address import Address
from aioparcs.codec import arrays, natives, tables
from aioparcs.codec.types import MAX_EXT_DEPTH, Ext, named
from aioparcs.errors import DecodeError

__all__ = ["SHORT", "allocate", "decode", "decode_checked", "decode_raw", "extension", "short_extension"]

_ADDRESS = [str, str, int, int, str]
_unpack = msgpack.unpackb
# What the library may raise for a body that is not one MessagePack value that can be made here.
_BAD_BODY = (ValueError, TypeError, OverflowError, RecursionError, msgpack.UnpackException)
# Values of these may be keys of maps that were chosen to have one hash.
_FOR_KEYS = frozenset({Ext.INTEGER, Ext.USER, Ext.TUPLE, Ext.PYTHON})
_NO_CODES: frozenset[int] = frozenset()
# Bytes of a body up to which such keys are too few to matter.
SHORT = 512
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
        hook = extension if len(body) > SHORT else short_extension
        return _unpack(body, strict_map_key=False, timestamp=3, ext_hook=hook)
    except Exception:  # what needs a check gets one, and what is wrong raises again
        pass
    return decode_checked(body, buffers)


def decode_checked(body: Any, buffers: tuple[Any, ...] = ()) -> Any:
    """Decode as `decode` does, slower: for bodies that the library alone fails to decode with `extension`."""
    try:
        if len(body) > SHORT:
            try:
                return _Hook(buffers, refuse=_NO_CODES, strict=True).unpack(body)
            except ValueError:  # a map has other keys than text and bytes, whose hashes no one can choose
                return _Hook(buffers, refuse=_NO_CODES, pairs=_make_map).unpack(body)
        return _Hook(buffers, refuse=_NO_CODES).unpack(body)
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


def _reason(error: BaseException) -> str:
    # Not repr: the library's "extra data" holds the whole value, and a value from outside may not bear quoting.
    return str(error) or type(error).__name__


class _Hook:
    """
    The hook that returns the values of extensions.

    One for each message that has buffers and one for all others, whatever thread they are decoded in: so that one
    never changes, and what is within an extension gets another one.

    Keys that are extensions may be chosen to have one hash, and a map of many such takes time by the square of their
    number. So long messages with extensions that may be keys are decoded again, by a strict hook. Looking at keys is
    slow: only messages that a strict hook fails to decode are decoded once more for it.

    Args:
        buffers: the message's buffers.
        refuse: extensions with which a message needs a check.
        strict: whether only text and bytes may be keys.
        pairs: makes the maps, or None.
    """

    __slots__ = ("_count", "_depth", "_pairs", "_refuse", "_strict", "_unused", "_within")

    def __init__(
        self,
        buffers: tuple[Any, ...] = (),
        *,
        refuse: frozenset[int] = _FOR_KEYS,
        strict: bool = False,
        pairs: Any = None,
    ) -> None:
        self._unused = dict(enumerate(buffers))
        self._count = len(buffers)
        self._refuse = refuse
        self._strict = strict
        self._pairs = pairs
        self._depth = 0
        self._within: _Hook | None = None

    def unpack(self, body: Any) -> Any:
        """Return the value of a body, or of what is within an extension."""
        return _unpack(body, strict_map_key=self._strict, timestamp=3, ext_hook=self, object_pairs_hook=self._pairs)

    def __call__(self, code: int, data: bytes) -> Any:
        if code in self._refuse:
            raise _NeedsCheckError
        if code == Ext.INTEGER:
            return int.from_bytes(data, "big", signed=True)
        if self._depth >= MAX_EXT_DEPTH:
            raise DecodeError(f"extensions nested more than {MAX_EXT_DEPTH} deep")
        value = (self._within or self._inner()).unpack(data)
        if code == Ext.TUPLE and type(value) is list:
            return tuple(value)
        return _make_rows(value) if code == Ext.ROWS else self._make(code, value)

    def _inner(self) -> _Hook:
        """Return the hook for what is within; two threads may make two, which are alike."""
        inner = _Hook(refuse=self._refuse, strict=self._strict, pairs=self._pairs)
        inner._unused, inner._count, inner._depth = self._unused, self._count, self._depth + 1
        self._within = inner
        return inner

    def _make(self, code: int, value: Any) -> Any:
        if code == Ext.BYTES:
            return bytes(self._buffer(value))
        if code == Ext.ARRAY:
            dtype, shape, order, where = value
            if order == "S" and self._refuse and not _is_safe_key(dtype):
                raise _NeedsCheckError
            return arrays.put_together(dtype, shape, order, where if isinstance(where, bytes) else self._buffer(where))
        if code == Ext.ADDRESS:
            if [type(field) for field in value] != _ADDRESS:
                raise DecodeError("an address is [scheme, host, port, worker, fingerprint]")
            return Address(*value)
        if code == Ext.USER:
            return self._make_user(*value)
        if code == Ext.PYTHON:
            kind, plain, *details = value
            return natives.make(kind, plain, details)
        if code == Ext.TABLE:
            kind, name, where = value
            return tables.make_table(kind, name, where if isinstance(where, bytes) else self._buffer(where))
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
    natives.check_hashes((key for key, _ in pairs), len(pairs))
    return dict(pairs)


def _is_safe_key(dtype: Any) -> bool:
    """Return True for the description of a scalar whose hash can't be chosen: not a complex or a structured one."""
    return type(dtype) is str and dtype[1:2] in "biufSUMm"


def _make_rows(rows: Any) -> list[Any]:
    if type(rows) is not list or not _only_lists(map(type, rows)):
        raise DecodeError("a list of tuples is a list of lists")
    return list(map(tuple, rows))


_only_lists = frozenset({list}).issuperset
extension = _Hook()
short_extension = _Hook(refuse=_NO_CODES)
