"""Values whose large arrays are copied to shared memory once, to be sent to many."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from typing import Any

from aioparcs.shared.memory import LEAST, copy_to_shared, find_shared

__all__ = ["flatten_values", "share_buffers", "share_values"]

_Conversion = Callable[[memoryview], Awaitable[memoryview]]
_BYTES = frozenset({bytes, bytearray, memoryview})


async def share_buffers(buffers: tuple[memoryview, ...]) -> tuple[memoryview, ...]:
    """Return buffers of a message with copies of the large ones in shared memory, as far as there is room."""
    return tuple([await _share_view(view) if len(view) >= LEAST else view for view in buffers])


async def share_values(value: Any) -> Any:
    """
    Return a value in which large arrays and bytes are replaced by equal ones in shared memory.

    It is for sending: in place of bytes there is a view of them. What is in lists, tuples and dicts is replaced, too.
    What lies in shared memory already, or has no room there, stays as it is.
    """
    return await _convert(value, _share_view, {})


async def flatten_values(value: Any) -> tuple[Any, list[memoryview]]:
    """
    Return a value in which large arrays are replaced by equal ones whose bytes lie in one piece, and the buffers that
    such arrays and large bytes are sent as.

    What is in lists, tuples and dicts is replaced, too.
    """
    views: list[memoryview] = []

    async def collect(view: memoryview) -> memoryview:
        views.append(view)
        return view

    return await _convert(value, collect, {}), views


async def _convert(value: Any, conversion: _Conversion, known: dict[int, Any]) -> Any:
    """Return a value with the buffers of its large parts replaced, each once."""
    kind = type(value)
    if kind is dict:
        return {key: await _convert(one, conversion, known) for key, one in value.items()}
    if kind is list or kind is tuple:
        return kind([await _convert(one, conversion, known) for one in value])
    if not _is_large(value):
        return value
    if id(value) not in known:
        is_bytes = kind in _BYTES
        known[id(value)] = await (conversion(memoryview(value)) if is_bytes else _convert_array(value, conversion))
    return known[id(value)]


def _is_large(value: Any) -> bool:
    if type(value) in _BYTES:
        view = memoryview(value)
        return view.nbytes >= LEAST and view.c_contiguous and view.format == "B"
    numpy = sys.modules.get("numpy")
    is_array = numpy is not None and type(value) in (numpy.ndarray, numpy.memmap)
    return is_array and value.nbytes >= LEAST and not value.dtype.hasobject


async def _share_view(view: memoryview) -> memoryview:
    """Return a flat buffer that lies in shared memory, or the one that was given."""
    return view if find_shared(view) else await copy_to_shared(view) or view


async def _convert_array(value: Any, conversion: _Conversion) -> Any:
    numpy = sys.modules["numpy"]
    order = "F" if value.flags.fnc else "C"
    flat = numpy.ravel(value, order=order).view("u1")  # a copy only where it isn't contiguous
    view = memoryview(flat)
    converted = await conversion(view)
    if converted is view and numpy.may_share_memory(flat, value):
        return value
    return numpy.ndarray(value.shape, value.dtype, converted.obj, order=order)
