"""The walk through a message: it replaces what MessagePack doesn't know, and knows the place of what can't be sent."""

from __future__ import annotations

import threading
from collections import OrderedDict
from datetime import datetime
from hashlib import blake2b
from itertools import chain
from typing import Any

import msgpack

from aioparcs.address import Address
from aioparcs.codec import arrays, tables
from aioparcs.codec.moments import is_utc, timestamp
from aioparcs.codec.natives import SETS, Form, form_of
from aioparcs.codec.scalars import no_form, scalar, scalars
from aioparcs.codec.types import DIGEST, MAX_DEPTH, MAX_EXT_DEPTH, OUT_OF_BAND, Ext, registered
from aioparcs.errors import EncodeError, describe, repr_of, text_of
from aioparcs.settings import EXTENSIONS, MAX_BUFFER_COUNT

__all__ = ["SCALARS", "UNPACKABLE", "DigestWalk", "Walk", "extension", "flat", "located_error", "packer"]

SCALARS = frozenset({type(None), bool, int, float, str})
_KEYS = (str, int, bytes)  # for a peer that knows no other
# An extension, without the checks of a call of the class, which take most of its time.
extension = msgpack.ExtType._make
# What the packer and the walk raise for a value that they can't take.
UNPACKABLE = (ValueError, OverflowError, MemoryError, RecursionError)
# Of these, what is raised anywhere where the stack is too deep or the memory full: the place says nothing.
_NO_PLACE = (MemoryError, RecursionError)
_only_scalars = SCALARS.issuperset
_only_plain_keys = frozenset({str, int}).issuperset
_only_tuples = frozenset({tuple}).issuperset


class _ThreadPacker(threading.local):
    """
    One packer for each thread, which holds 256 KiB.

    Packing may run Python: that of the packer where there is none in C, and up to Python 3.11 the garbage collector's
    callbacks. Another thread that got its turn there would write into the middle of this thread's message.
    """

    def __init__(self) -> None:
        self.pack = msgpack.Packer().pack


packer = _ThreadPacker()


def located_error(error: BaseException, step: str, passed: tuple[type[BaseException], ...] = ()) -> BaseException:
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


def flat(value: Any) -> memoryview:
    """Return the bytes of an object with a buffer, in one piece; a copy only where they are not."""
    view = memoryview(value)
    if not view.c_contiguous:
        view = memoryview(view.tobytes())
    return view.cast("B") if view.nbytes else memoryview(b"")


class Walk:
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
        return located_error(error, step, _NO_PLACE if self._strict else UNPACKABLE)

    def value(self, value: Any, depth: int) -> Any:
        """Return what the packer takes in place of a value."""
        kind = type(value)
        if kind in SCALARS:
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
            return extension((Ext.ADDRESS, packer.pack(self._list(value, depth))))
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
            return extension((Ext.TABLE, packer.pack([table.kind, name, self._placed(table.data)])))
        raise no_form(value)

    def _list(self, values: list[Any] | tuple[Any, ...], depth: int) -> Any:
        if _only_scalars(map(type, values)):
            if self._strict and _packs_not(values):
                return scalars(values)
            return values if type(values) is list else list(values)
        if self._extended and type(values[0]) is tuple and type(values) is list and self._are_rows(values):
            return extension((Ext.ROWS, packer.pack(values)))
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
            return extension((Ext.TUPLE, packer.pack(self._list(values, depth) if self._strict else values)))
        self._enter("tuples")
        ready = self._list(values, depth)
        self._ext_depth -= 1
        return extension((Ext.TUPLE, packer.pack(ready)))

    def _python(self, form: Form, value: Any, depth: int) -> Any:
        """Return a value of one of Python's own types: its plain value, and what else belongs to it."""
        self._enter(f"values of the type {form.kind}")
        try:
            plain, *details = form.take_apart(value)
        except ValueError as error:
            raise EncodeError("", f"a {form.kind} that can't be encoded: {text_of(error)}") from error
        ready = [form.kind, self._plain(form.kind, plain, depth + 1), *details]
        self._ext_depth -= 1
        return extension((Ext.PYTHON, packer.pack(ready)))

    def _plain(self, _kind: str, plain: Any, depth: int) -> Any:
        """Return the plain value of one of Python's own types, ready for the packer."""
        return self.value(plain, depth)

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
        view = flat(value)
        if len(view) < OUT_OF_BAND or len(self.buffers) >= MAX_BUFFER_COUNT:
            return value if type(value) is bytes else bytes(view)
        return extension((Ext.BYTES, packer.pack(self._out_of_band(view))))

    def _array(self, value: Any) -> Any:
        dtype, shape, order, data = arrays.take_apart(value, "")
        return extension((Ext.ARRAY, packer.pack([dtype, shape, order, self._placed(data)])))

    def _placed(self, view: memoryview) -> Any:
        """Return bytes as they are, or the index of the buffer that holds them."""
        if len(view) < OUT_OF_BAND or len(self.buffers) >= MAX_BUFFER_COUNT:
            return bytes(view)
        return self._out_of_band(view)

    def _out_of_band(self, view: Any) -> Any:
        """Return the index of a new buffer."""
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
        return extension((Ext.USER, packer.pack([entry.name, ready])))


class DigestWalk(Walk):
    """A walk for the digest of a value: sets are in a canonical order, and large buffers are their digests."""

    def _plain(self, kind: str, plain: Any, depth: int) -> Any:
        ready = super()._plain(kind, plain, depth)
        return sorted(ready, key=packer.pack) if kind in SETS else ready

    def _out_of_band(self, view: Any) -> Any:
        return blake2b(view, digest_size=DIGEST).digest()


def _packs_not(scalars: Any) -> bool:
    """Return True if the packer refuses a container of scalars: quicker than a check of each."""
    try:
        packer.pack(scalars)
    except UNPACKABLE:
        return True
    return False
