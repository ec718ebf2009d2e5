"""Arrays in shared memory."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

from aioparcs.shared.memory import LEAST, SharedMemory, open_memory

if TYPE_CHECKING:
    import numpy
    from numpy.typing import DTypeLike

__all__ = ["shared_array"]


def shared_array(shape: int | tuple[int, ...], dtype: DTypeLike = float) -> numpy.ndarray[Any, Any]:
    """
    Return a new NumPy array, filled with zeros, that crosses to another process of this machine without a copy.

    It is sent like any other array: as a message, in one, as an argument or as a result, also a contiguous part of it.
    Once it was sent it can no longer be written to; its receiver has it as an array of its own, to which it may
    write. Don't write to parts of it that were taken before: receivers may see it. Arrays below 1 MiB, and those for
    processes on other machines or in other containers, are sent as bytes.

    Args:
        shape: its size, or the sizes of its dimensions.
        dtype: the type of its elements; not objects.

    Raises:
        ValueError: the elements would be Python objects.
        MemoryError: there is no room for it.
    """
    import numpy

    kind = numpy.dtype(dtype)
    if kind.hasobject:
        raise ValueError(f"an array of dtype {kind} can't be shared: its elements are objects of this process")
    size = prod((shape,) if isinstance(shape, int) else shape) * kind.itemsize
    if size < LEAST:
        return numpy.zeros(shape, kind)
    try:
        fd = open_memory(size)
    except OSError:
        return numpy.zeros(shape, kind)
    return numpy.ndarray(shape, kind, SharedMemory.of([fd], writable=True))
