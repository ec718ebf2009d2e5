"""Arrays in shared memory."""

from __future__ import annotations

from math import prod
from operator import index
from typing import TYPE_CHECKING, Any, SupportsIndex

from aioparcs.shared.memory import LEAST, SharedMemory, open_memory

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy
    from numpy.typing import DTypeLike

__all__ = ["shared_array"]


def shared_array(shape: SupportsIndex | Sequence[SupportsIndex], dtype: DTypeLike = float) -> numpy.ndarray[Any, Any]:
    """
    Return a new NumPy array, filled with zeros, that crosses to another process of this machine without a copy.

    It is sent like any other array: as a message, in one, as an argument or as a result, also a contiguous part of it.
    Once it or a part of it was sent it can no longer be written to; its receiver has it as an array of its own, to
    which it may write. Don't write to parts of it that were taken before: receivers may see it. Arrays below 1 MiB, and
    those for processes on other machines or in other containers, are sent as bytes. In a forked process it is an
    ordinary array: of one that is made at the top of ``main.py`` each worker has its own.

    Args:
        shape: its size, or the sizes of its dimensions.
        dtype: the type of its elements; not objects.

    Raises:
        ValueError: the elements would be Python objects, or NumPy makes no array of this size.
        MemoryError: there is no room for it.
    """
    import numpy

    kind = numpy.dtype(dtype)
    if kind.hasobject:
        raise ValueError(f"an array of dtype {kind} can't be shared: its elements are objects of this process")
    sizes = (shape,) if isinstance(shape, SupportsIndex) else tuple(shape)
    size = prod(map(index, sizes)) * kind.itemsize
    if size < LEAST:
        return numpy.zeros(sizes, kind)
    try:
        fd = open_memory(size)
    except (OSError, OverflowError):
        return numpy.zeros(sizes, kind)
    return numpy.ndarray(sizes, kind, SharedMemory.of([fd], writable=True))
