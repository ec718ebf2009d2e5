"""
NumPy arrays and scalars as descriptions and bytes.

NumPy is optional: it is never imported to encode (a program that has an array has imported it), and to decode
only when an array arrives.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

from aioparcs.errors import DecodeError, EncodeError

__all__ = ["describe", "is_array", "put_together", "take_apart"]

# bool, integers, floats, complex, text, bytes, structured, time spans and times; not objects, not strings by pointer.
_KINDS = "biufcUSVmM"
_SCALAR = "S"


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
    if order == "F":
        array = array.T
    elif not array.flags.c_contiguous:
        array = numpy.ascontiguousarray(array)
    shape = list(value.shape)
    if not array.nbytes:
        return describe(numpy, dtype), shape, order, memoryview(b"")
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
        if kind.hasobject or kind.kind not in _KINDS or kind.subdtype or order not in ("C", "F", _SCALAR):
            raise DecodeError(f"an array of dtype {dtype!r} and order {order!r} has no form on the wire")
        if not len(memoryview(data)):
            array = numpy.empty(shape, kind, "F" if order == "F" else "C")
            if array.nbytes:
                raise ValueError("no data")
        else:
            writable = bytearray(data) if isinstance(data, bytes) else data
            array = numpy.frombuffer(writable, kind).reshape(shape, order="F" if order == "F" else "C")
        return array[()] if order == _SCALAR else array
    except DecodeError:
        raise
    except Exception as error:  # NumPy raises many kinds for a bad description
        raise DecodeError(f"an array that can't be made: dtype {dtype!r}, shape {shape!r}: {error}") from error


def _is_plain(numpy: Any, dtype: Any) -> bool:
    """Tell whether the description gives the same dtype back; extension dtypes pretend to be raw bytes."""
    try:
        return bool(numpy.lib.format.descr_to_dtype(describe(numpy, dtype)) == dtype)
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
