"""
NumPy arrays and scalars as descriptions and bytes.

NumPy is optional: it is never imported to encode (a program that has an array has imported it), and to decode
only when an array arrives.
"""

from __future__ import annotations

import importlib
import struct
import sys
from math import prod
from typing import Any

from aioparcs.errors import DecodeError, EncodeError

__all__ = ["describe", "is_array", "put_together", "take_apart"]

# bool, integers, floats, complex, text, bytes, structured, time spans and times; not objects, not strings by pointer.
_KINDS = "biufcUSVmM"
_SCALAR = "S"
# Of a shape, as NumPy 2 has it; and fields of a dtype, with the characters of their kinds.
_MOST_DIMENSIONS, _LONGEST = 64, 20_000
# What `struct` calls the scalars that Python has too, by what NumPy calls them behind the byte order.
_STRUCTS = dict(
    zip(
        ("b1", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8", "c8", "c16"),
        ("?", "b", "B", "h", "H", "i", "I", "q", "Q", "e", "f", "d", "ff", "dd"),
        strict=True,
    )
)
_ORDERS = {"C": "C", "F": "F", _SCALAR: "C"}


def is_array(value: Any) -> bool:
    """Return True for a NumPy array or scalar, without importing NumPy."""
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(value, (numpy.ndarray, numpy.generic))


def take_apart(value: Any, place: str) -> tuple[Any, list[int], str, memoryview]:
    """
    Return dtype, shape, order ("C", "F", or "S" for a scalar) and the flat bytes, uncopied where they can be.

    Raises:
        EncodeError: object arrays, masked arrays and other subclasses have no form, and some parts would be lost.
    """
    numpy = sys.modules["numpy"]
    if isinstance(value, numpy.generic):
        if isinstance(value, (str, bytes)) and value[-1:] in ("\0", b"\0"):
            kind = "str" if isinstance(value, str) else "bytes"
            raise EncodeError(place, f"a NumPy {kind} scalar that ends in NUL, which NumPy drops; send {kind}(value)")
        array, order = numpy.asarray(value), _SCALAR
    elif type(value) in (numpy.ndarray, numpy.memmap):
        array, order = value, "F" if value.flags.fnc else "C"
    else:
        raise EncodeError(place, f"an array of class {type(value).__qualname__}; send numpy.asarray() of it")
    dtype = array.dtype
    if _has_metadata(dtype):
        advice = "send array.astype() of it with a dtype that has none"
        raise EncodeError(place, f"an array of dtype {dtype} with metadata, which would be lost; {advice}")
    if dtype.hasobject or dtype.kind not in _KINDS or not _is_plain(numpy, dtype):
        raise EncodeError(place, f"an array of dtype {dtype} cannot be sent")
    shape = list(value.shape)
    if not array.nbytes:
        return describe(numpy, dtype), shape, order, memoryview(b"")
    if order == "F":
        array = array.T
    elif not array.flags.c_contiguous:
        array = numpy.ascontiguousarray(array)
    # A view as plain bytes: not every dtype has a format that memoryview knows.
    return describe(numpy, dtype), shape, order, memoryview(array.reshape(-1).view("u1"))


def describe(numpy: Any, dtype: Any) -> Any:
    """Return a dtype as ``numpy.lib.format`` writes it in .npy files: a string, or a list of fields."""
    return numpy.lib.format.dtype_to_descr(dtype)


def put_together(dtype: Any, shape: Any, order: Any, data: Any) -> Any:
    """
    Return the array, or the scalar, over ``data``; the array owns it and is writable.

    Without NumPy a scalar is a plain number, bytes or text, if Python has its kind.

    Raises:
        DecodeError: the description is no array's, or doesn't fit the data, or NumPy is missing.
    """
    try:
        numpy = importlib.import_module("numpy")
    except ImportError as error:
        if order == _SCALAR:
            return _plain_scalar(dtype, data)
        raise DecodeError("an array arrived, and NumPy is not installed here: install aioparcs[numpy]") from error
    try:
        if _length(dtype) > _LONGEST:
            raise ValueError(f"its dtype is longer than {_LONGEST:,}")
        kind = numpy.lib.format.descr_to_dtype(_tuples(dtype))
        if kind.hasobject or kind.kind not in _KINDS or kind.subdtype:
            raise ValueError(f"the dtype {kind.str} cannot be sent")
        # Before sizes are multiplied: that takes time by the square of their number.
        if type(shape) is not list or len(shape) > _MOST_DIMENSIONS:
            raise ValueError(f"a shape is a list of at most {_MOST_DIMENSIONS} sizes")
        if not all(type(size) is int and 0 <= size < 2**63 for size in shape):
            raise ValueError("a shape's sizes are whole numbers from 0 to 2**63 - 1")
        if type(order) is not str or order not in _ORDERS or (order == _SCALAR and shape):
            raise ValueError("the order is C, F, or S for a scalar")
        size = memoryview(data).nbytes
        if kind.itemsize * prod(shape) != size:  # before memory is taken for what a shape announces
            raise ValueError(f"{size:,} bytes don't fill the shape")
        if size:
            writable = bytearray(data) if isinstance(data, bytes) else data
            array = numpy.frombuffer(writable, kind).reshape(shape, order=_ORDERS[order])
        else:
            array = numpy.ndarray(shape, kind, order=_ORDERS[order])  # numpy.empty makes S1 of S0
        return array[()] if order == _SCALAR else array
    except Exception as error:  # NumPy raises many kinds for a bad description; quoting it could fail as well
        raise DecodeError(f"an array that cannot be decoded: {str(error) or type(error).__name__}") from error


def _has_metadata(dtype: Any) -> bool:
    """Return True for a dtype that has metadata, or one of whose fields has; NumPy's comparisons ignore it."""
    if dtype.metadata:
        return True
    if dtype.subdtype:
        return _has_metadata(dtype.base)
    return bool(dtype.names) and any(_has_metadata(field) for field, *_ in dtype.fields.values())


def _is_plain(numpy: Any, dtype: Any) -> bool:
    """Return True if the description gives the same dtype back; extension dtypes pretend to be raw bytes."""
    try:
        description = describe(numpy, dtype)
        "".join(dtype.names or ()).encode()  # a name that is no Unicode
        return bool(numpy.lib.format.descr_to_dtype(description) == dtype) and _length(description) <= _LONGEST
    except (TypeError, ValueError):
        return False


def _plain_scalar(dtype: Any, data: Any) -> Any:
    """Return the Python value of a NumPy scalar."""
    try:
        byte_order, kind, size = dtype[:1], dtype[1:2], dtype[2:]
        if kind == "S":
            return bytes(data).rstrip(b"\0")
        if kind == "U":
            return bytes(data).decode("utf-32-be" if byte_order == ">" else "utf-32-le").rstrip("\0")
        values = struct.unpack((">" if byte_order == ">" else "<") + _STRUCTS[kind + size], data)
        return values[0] if kind != "c" else complex(*values)
    except (KeyError, TypeError, ValueError, struct.error) as error:
        raise DecodeError("a NumPy scalar arrived, and NumPy is not installed here: install aioparcs[numpy]") from error


def _length(descr: Any) -> int:
    """Count the characters and fields of a dtype's description."""
    return len(descr) if isinstance(descr, str) else sum(1 + _length(kind) for _, kind, *_ in descr)


def _tuples(descr: Any) -> Any:
    """Return a structured dtype's description with its tuples, which arrive as lists."""
    if not isinstance(descr, list):
        return descr
    fields = []
    for name, kind, *shape in descr:
        title = tuple(name) if isinstance(name, list) else name
        fields.append((title, _tuples(kind), *(tuple(s) for s in shape)))
    return fields
