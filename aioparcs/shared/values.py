"""Values whose large arrays are copied to shared memory once, to be sent to many."""

from __future__ import annotations

import sys
from typing import Any

from aioparcs.shared.memory import LEAST, copy_to_shared, find_shared

__all__ = ["share_buffers", "share_values"]

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
    return await _share(value, {})


async def _share(value: Any, known: dict[int, Any]) -> Any:
    kind = type(value)
    if kind is dict:
        return {key: await _share(one, known) for key, one in value.items()}
    if kind is list or kind is tuple:
        return kind([await _share(one, known) for one in value])
    if not _is_large(value):
        return value
    if id(value) not in known:
        known[id(value)] = await (_share_view(memoryview(value)) if kind in _BYTES else _share_array(value))
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


async def _share_array(value: Any) -> Any:
    numpy = sys.modules["numpy"]
    order = "F" if value.flags.fnc else "C"
    flat = numpy.ravel(value, order=order).view("u1")  # a copy only where it isn't contiguous
    view = memoryview(flat)
    shared = await _share_view(view)
    return value if shared is view else numpy.ndarray(value.shape, value.dtype, shared.obj, order=order)
