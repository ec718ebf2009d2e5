"""
The encoder: objects to body and buffers.

The common message, a scalar or a flat list of scalars, goes straight to the MessagePack packer. Everything
else is walked first: the walk replaces what MessagePack doesn't know by extensions, moves large bytes and
arrays out of band, and knows the place of whatever cannot be sent.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import chain
from typing import Any

import msgpack

from aioparcs.address import Address
from aioparcs.codec import arrays, tables
from aioparcs.codec.moments import is_utc, timestamp
from aioparcs.codec.natives import Form, form_of
from aioparcs.codec.scalars import no_form, scalar, scalars
from aioparcs.codec.types import MAX_DEPTH, MAX_EXT_DEPTH, OUT_OF_BAND, Ext, registered
from aioparcs.errors import EncodeError, describe, repr_of, text_of
from aioparcs.settings import EXTENSIONS, MAX_BUFFER_COUNT

__all__ = ["encode", "encode_call", "encode_inline", "encode_plain", "encode_result"]

_SCALARS = frozenset({type(None), bool, int, float, str})
_KEYS = (str, int, bytes)  # for a peer that knows no other
_only_scalars = _SCALARS.issuperset
_only_plain_keys = frozenset({str, int}).issuperset
_only_tuples = frozenset({tuple}).issuperset
# An extension, without the checks of a call of the class, which take most of its time.
_extension = msgpack.ExtType._make
# What the packer and the walk raise for a value that they can't take.
_UNPACKABLE = (ValueError, OverflowError, MemoryError, RecursionError)
# Of these, what is raised anywhere where the stack is too deep or the memory full: the place says nothing.
_NO_PLACE = (MemoryError, RecursionError)

Buffers = tuple[Any, ...]


class _ThreadPacker(threading.local):
    """
    One packer for each thread, which holds 256 KiB.

    Packing may run Python: that of the packer where there is none in C, and up to Python 3.11 the garbage collector's
    callbacks. Another thread that got its turn there would write into the middle of this thread's message.
    """

    def __init__(self) -> None:
        self.pack = msgpack.Packer().pack


_packer = _ThreadPacker()


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
        elif kind not in _SCALARS:
            return None
        return _packer.pack(value)
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
        failure = _located(error, "$")
        raise failure from failure.__cause__
    return (True, *raw) if raw else (False, *encode_inline(value, extensions))


def _encode_raw(value: Any) -> tuple[bytes, Buffers] | None:
    """Return the body and the buffer of a raw message; None if the value is to be sent as any other."""
    kind = type(value)
    if kind is bytes or kind is bytearray or kind is memoryview:
        view = _flat(value)
        if len(view) >= OUT_OF_BAND:
            return b"", (view,)
    elif arrays.is_array(value) and value.nbytes >= OUT_OF_BAND:
        dtype, shape, order, data = arrays.take_apart(value, "")
        return _packer.pack([dtype, shape, order]), (data,)
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
            return _packer.pack((call_id, name, args, {})), ()
    except Exception:  # the walk says where
        pass
    # Whatever kinds these are: the values count.
    return encode_inline([call_id, name, list(args), dict(kwargs)], extensions)


def encode_result(call_id: int, ok: bool, value: Any, extensions: int = EXTENSIONS) -> tuple[bytes, Buffers]:
    """
    Return the body and the buffers of a result; quick for a scalar, or a list of scalars.

    Raises:
        EncodeError: as `encode`.
    """
    kind = type(value)
    try:
        if kind in _SCALARS or ((kind is list or kind is tuple) and _only_scalars(map(type, value))):
            if kind is tuple and extensions >= EXTENSIONS:
                value = _extension((Ext.TUPLE, _packer.pack(value)))
            return _packer.pack((call_id, ok, value)), ()
    except Exception:  # the walk says where
        pass
    return encode_inline([call_id, ok, value], extensions)


def encode_inline(value: Any, extensions: int = EXTENSIONS) -> tuple[bytes, Buffers]:
    """
    Return the body and the buffers of any message that isn't raw.

    Raises:
        EncodeError: as `encode`.
    """
    try:
        return _pack_walk(_Walk(extensions), value)
    except _UNPACKABLE:
        pass  # a list of scalars may hold invalid Unicode text, or an integer beyond 64 bits
    try:
        return _pack_walk(_Walk(extensions, strict=True), value)
    except _UNPACKABLE as error:  # it has no place to name, as when the stack is too deep
        raise EncodeError("$", f"can't be packed: {describe(error)}") from error


def _pack_walk(walk: _Walk, value: Any) -> tuple[bytes, Buffers]:
    try:
        return _packer.pack(walk.value(value, 0)), tuple(walk.buffers)
    except BaseException as error:
        failure = walk.located(error, "$")
        raise failure from failure.__cause__


def _located(error: BaseException, step: str, passed: tuple[type[BaseException], ...] = ()) -> BaseException:
    """
    Return an error with one step more of its place.

    What a value's own code has raised becomes an EncodeError, also a panic of polars, which is no Exception: it is a
    fault of that value, and no reason to end the program. What is to pass, and what ends programs, is returned itself.
    """
    if isinstance(error, EncodeError):
        error.place = step + error.place
        error.args = (error.place, error.reason)
        return error
    if isinstance(error, (KeyboardInterrupt, SystemExit, *passed)):
        return error
    failure = EncodeError(step, f"can't be encoded: {describe(error)}")
    failure.__cause__ = error
    return failure


def _step(key: Any) -> str:
    """Return the step to a key's value, or to the key itself; its own code may raise."""
    if type(key) is str and key.isidentifier():
        return f".{key}"
    return f"[{repr_of(key)}]"


def _flat(value: Any) -> memoryview:
    view = memoryview(value)
    if not view.c_contiguous:
        view = memoryview(view.tobytes())
    return view.cast("B") if view.nbytes else memoryview(b"")


class _Walk:
    """
    Replaces what MessagePack cannot pack, and collects the buffers.

    Containers that hold plain scalars only are left as they are; a strict walk looks at those that can't be packed.
    Errors get their place on their way out, step by step: most walks never need it.
    """

    def __init__(self, extensions: int, *, strict: bool = False) -> None:
        self.buffers: list[Any] = []
        self._strict = strict
        self._extended = extensions >= EXTENSIONS
        self._ext_depth = 0

    def located(self, error: BaseException, step: str) -> BaseException:
        """Return an error with one step more of its place, or as it is if the strict walk is to find the place."""
        return _located(error, step, _NO_PLACE if self._strict else _UNPACKABLE)

    def value(self, value: Any, depth: int) -> Any:
        kind = type(value)
        if kind in _SCALARS:
            return scalar(value) if self._strict else value
        if depth > MAX_DEPTH:
            raise EncodeError("", f"nested more than {MAX_DEPTH} deep, or within itself")
        if kind in registered:
            return self._user(value, depth)
        if kind is dict:
            return self._dict(value, depth)
        if kind is list:
            return self._list(value, depth)
        if kind is tuple:
            return self._tuple(value, depth) if self._extended else self._list(value, depth)
        if arrays.is_array(value):
            return self._array(value)
        if kind is Address:
            return _extension((Ext.ADDRESS, _packer.pack(self._list(value, depth))))
        if isinstance(value, bytes | bytearray | memoryview):
            return self._bytes(value)
        return self._rarer(value, kind, depth)

    def _rarer(self, value: Any, kind: type, depth: int) -> Any:
        if kind is datetime and (not self._extended or is_utc(value)):
            return timestamp(value)
        if self._extended and (form := form_of(kind)):
            return self._python(form, value, depth)
        if kind is OrderedDict:
            return self._dict(value, depth)
        for plain in (int, float, str):  # subclasses, IntEnum among them, travel as what they extend
            if isinstance(value, plain):
                return self.value(plain.__str__(value) if plain is str else plain(value), depth)
        if (array := tables.as_array(value)) is not None:
            return self._array(array)
        if self._extended and (table := tables.as_table(value)):
            name = self.value(table.name, depth + 1)
            return _extension((Ext.TABLE, _packer.pack([table.kind, name, self._placed(table.data)])))
        raise no_form(value)

    def _list(self, values: list[Any] | tuple[Any, ...], depth: int) -> Any:
        if _only_scalars(map(type, values)):
            if self._strict and _packs_not(values):
                return scalars(values)
            return values if type(values) is list else list(values)
        if self._extended and type(values[0]) is tuple and type(values) is list and self._are_rows(values):
            return _extension((Ext.ROWS, _packer.pack(values)))
        ready: list[Any] = []
        try:
            for value in values:
                ready.append(self.value(value, depth + 1))  # its length is the place of an error
        except BaseException as error:
            failure = self.located(error, f"[{len(ready)}]")
            raise failure from failure.__cause__
        return ready

    def _are_rows(self, values: list[Any]) -> bool:
        """Return True for tuples of scalars: one extension for all takes a tenth of the time of one for each."""
        if not _only_tuples(map(type, values)) or not _only_scalars(map(type, chain.from_iterable(values))):
            return False
        return not (self._strict and _packs_not(values))

    def _tuple(self, values: tuple[Any, ...], depth: int) -> Any:
        if _only_scalars(map(type, values)):
            return _extension((Ext.TUPLE, _packer.pack(self._list(values, depth) if self._strict else values)))
        self._enter("tuples")
        ready = self._list(values, depth)
        self._ext_depth -= 1
        return _extension((Ext.TUPLE, _packer.pack(ready)))

    def _python(self, form: Form, value: Any, depth: int) -> Any:
        """Return a value of one of Python's own types: its plain value, and what else belongs to it."""
        self._enter(f"values of the type {form.kind}")
        try:
            plain, *details = form.take_apart(value)
        except ValueError as error:
            raise EncodeError("", f"a {form.kind} that can't be encoded: {text_of(error)}") from error
        ready = [form.kind, self.value(plain, depth + 1), *details]
        self._ext_depth -= 1
        return _extension((Ext.PYTHON, _packer.pack(ready)))

    def _enter(self, what: str) -> None:
        """Go one extension deeper; the last level is for one that holds no other, such as an array."""
        self._ext_depth += 1
        if self._ext_depth >= MAX_EXT_DEPTH:
            raise EncodeError("", f"{what} nested more than {MAX_EXT_DEPTH - 1} deep, or within itself")

    def _dict(self, values: dict[Any, Any], depth: int) -> dict[Any, Any]:
        plain = _only_plain_keys(map(type, values)) and _only_scalars(map(type, values.values()))
        if plain and not (self._strict and _packs_not(values)):
            return values if type(values) is dict else dict(values)
        ready: dict[Any, Any] = {}
        for key, value in values.items():
            if not self._extended and not isinstance(key, _KEYS):
                which = repr_of(key)
                raise EncodeError("", f"a key is {which}; keys are str, int or bytes for a peer that knows no other")
            try:
                name = key if isinstance(key, bytes) else self.value(key, depth + 1)
                ready[name] = self.value(value, depth + 1)
            except BaseException as error:
                failure = self.located(error, _step(key))
                raise failure from failure.__cause__
        return ready

    def _bytes(self, value: Any) -> Any:
        view = _flat(value)
        if len(view) < OUT_OF_BAND or len(self.buffers) >= MAX_BUFFER_COUNT:
            return value if type(value) is bytes else bytes(view)
        return _extension((Ext.BYTES, _packer.pack(self._out_of_band(view))))

    def _array(self, value: Any) -> Any:
        dtype, shape, order, data = arrays.take_apart(value, "")
        return _extension((Ext.ARRAY, _packer.pack([dtype, shape, order, self._placed(data)])))

    def _placed(self, view: memoryview) -> bytes | int:
        """Return bytes as they are, or the index of the buffer that holds them."""
        if len(view) < OUT_OF_BAND or len(self.buffers) >= MAX_BUFFER_COUNT:
            return bytes(view)
        return self._out_of_band(view)

    def _out_of_band(self, view: Any) -> int:
        self.buffers.append(view)
        return len(self.buffers) - 1

    def _user(self, value: Any, depth: int) -> Any:
        entry = registered[type(value)]
        self._enter("registered types")
        try:
            plain = entry.encode(value)
        except Exception as error:
            raise EncodeError("", f"{entry.name} can't be encoded: {describe(error)}") from error
        try:
            ready = self.value(plain, depth + 1)
        except BaseException as error:
            failure = self.located(error, f"<{entry.name}>")
            raise failure from failure.__cause__
        self._ext_depth -= 1
        return _extension((Ext.USER, _packer.pack([entry.name, ready])))


def _packs_not(scalars: Any) -> bool:
    """Return True if the packer refuses a container of scalars: quicker than a check of each."""
    try:
        _packer.pack(scalars)
    except _UNPACKABLE:
        return True
    return False
