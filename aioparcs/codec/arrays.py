"""
NumPy arrays and scalars as descriptions and bytes.

NumPy is optional: it is never imported to encode (a program that has an array has imported it), and to decode
only when an array arrives.
"""

from __future__ import annotations

import importlib
import sys
from math import prod
from typing import Any

from aioparcs.errors import DecodeError, EncodeError

__all__ = ["describe", "is_array", "put_together", "take_apart"]

# bool, integers, floats, complex, text, bytes, structured, time spans and times; not objects, not strings by pointer.
_KINDS = "biufcUSVmM"
_SCALAR = "S"
_ORDERS = {"C": "C", "F": "F", _SCALAR: "C"}


def is_array(value: Any) -> bool:
    """Tell whether a value is a NumPy array or scalar, without importing NumPy."""
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(value, (numpy.ndarray, numpy.generic))


def take_apart(value: Any, place: str) -> tuple[Any, list[int], str, memoryview]:
    """
    Make dtype, shape, order ("C", "F", or "S" for a scalar) and the flat bytes, uncopied where they can be.

    Raises:
        EncodeError: object arrays, masked arrays and other subclasses have no form.
    """
    numpy = sys.modules["numpy"]
    if isinstance(value, numpy.generic):
        array, order = numpy.asarray(value), _SCALAR
    elif type(value) in (numpy.ndarray, numpy.memmap):
        array, order = value, "F" if value.flags.fnc else "C"
    else:
        raise EncodeError(place, f"an array of class {type(value).__qualname__}; send numpy.asarray() of it")
    dtype = array.dtype
    if dtype.hasobject or dtype.kind not in _KINDS or not _is_plain(numpy, dtype):
        raise EncodeError(place, f"an array of dtype {dtype} has no form on the wire")
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
    """Describe a dtype as ``numpy.lib.format`` does in .npy files: a string, or a list of fields."""
    return numpy.lib.format.dtype_to_descr(dtype)


def put_together(dtype: Any, shape: Any, order: Any, data: Any) -> Any:
    """
    Make the array, or the scalar, over ``data``; the array owns it and is writable.

    Raises:
        DecodeError: the description is no array's, or doesn't fit the data, or NumPy is missing.
    """
    try:
        numpy = importlib.import_module("numpy")
    except ImportError as error:
        raise DecodeError("an array arrived, and NumPy is not installed here: aioparcs[numpy] brings it") from error
    try:
        kind = numpy.lib.format.descr_to_dtype(_tuples(dtype))
        if kind.hasobject or kind.kind not in _KINDS or kind.subdtype:
            raise ValueError(f"the dtype {kind.str} has no form on the wire")
        if type(shape) is not list or not all(type(size) is int and size >= 0 for size in shape):
            raise ValueError("a shape is a list of sizes")
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
        raise DecodeError(f"an array that can't be made: {error}") from error


def _is_plain(numpy: Any, dtype: Any) -> bool:
    """Tell whether the description gives the same dtype back; extension dtypes pretend to be raw bytes."""
    try:
        description = describe(numpy, dtype)
        "".join(dtype.names or ()).encode()  # a name that is no Unicode
        return bool(numpy.lib.format.descr_to_dtype(description) == dtype)
    except (TypeError, ValueError):
        return False


def _tuples(descr: Any) -> Any:
    """Undo what the wire does to a structured dtype's description: its tuples arrive as lists."""
    if not isinstance(descr, list):
        return descr
    fields = []
    for name, kind, *shape in descr:
        title = tuple(name) if isinstance(name, list) else name
        fields.append((title, _tuples(kind), *(tuple(s) for s in shape)))
    return fields
