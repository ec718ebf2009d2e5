"""Mappings of several files' memory, one behind the other."""

from __future__ import annotations

import mmap
import os
import sys
from collections.abc import Iterable
from functools import cache
from typing import Any, Self

__all__ = ["Stitched", "advise_huge", "can_stitch"]

_FIXED, _NO_RESERVE, _HUGE = 0x10, 0x4000, 14
_WRITABLE = mmap.PROT_READ | mmap.PROT_WRITE


@cache
def _libc() -> Any:
    """Return the C library's `mmap`, with which memory can be mapped to a place, or None."""
    if sys.maxsize < 1 << 32:  # offsets are of another size there
        return None
    try:
        import ctypes

        function = ctypes.CDLL(None, use_errno=True).mmap
        function.restype = ctypes.c_void_p
        function.argtypes = (ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_int64)
        return function
    except (ImportError, OSError, AttributeError):
        return None


def can_stitch() -> bool:
    """Return True if this process can map memory to a place."""
    return _libc() is not None


def advise_huge(memory: mmap.mmap) -> None:
    """Request huge pages, which shared memory gets where the system has `advise` as its `shmem_enabled`."""
    try:
        memory.madvise(_HUGE)
    except (OSError, ValueError):
        pass  # a kernel without them


class Stitched(mmap.mmap):
    """
    One piece of memory made of several, unmapped with its last reference; it keeps no descriptor.

    Attributes:
        address: where it begins.
    """

    address: int

    @classmethod
    def stitch(cls, size: int, parts: Iterable[tuple[int, int, int]], *, is_own: bool) -> Self:
        """
        Map parts behind each other; what is written stays private, unless the memory is this process's own.

        Args:
            size: the bytes of all parts.
            parts: descriptor, offset and size of each; all ends but the last one, and all offsets, are those of pages.
                A descriptor may be closed when the next part is taken.
            is_own: whether others see what is written.

        Raises:
            MemoryError: there is no room for it, or a descriptor can't be mapped.
        """
        import ctypes

        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _NO_RESERVE
        try:
            memory = cls(-1, size, flags, _WRITABLE)
        except OSError as error:
            raise MemoryError(f"no room for {size:,} bytes: {error.strerror}") from error
        memory.address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
        _map(memory.address, parts, mmap.MAP_SHARED if is_own else mmap.MAP_PRIVATE)
        advise_huge(memory)
        return memory

    def make_private(self, parts: Iterable[tuple[int, int, int]]) -> None:
        """
        Map the same parts again, in the same place: what is written stays private from now on.

        Raises:
            MemoryError: there is no room for it, or the descriptors can't be mapped.
        """
        _map(self.address, parts, mmap.MAP_PRIVATE)


def _map(address: int, parts: Iterable[tuple[int, int, int]], how: int) -> None:
    """Map parts behind each other, in place of what is there."""
    import ctypes

    for fd, offset, size in parts:
        if _libc()(address, size, _WRITABLE, _FIXED | how, fd, offset) != address:
            raise MemoryError(f"{size:,} bytes can't be mapped: {os.strerror(ctypes.get_errno())}")
        address += size
