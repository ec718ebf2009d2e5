"""Mapping what another process refers to."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from mmap import PAGESIZE
from typing import Any

from aioparcs.shared.memory import SEAL_SHRINK, SharedPart
from aioparcs.shared.probe import READING, keep_spare, take_spare
from aioparcs.shared.stitching import Stitched, can_stitch

__all__ = ["map_shared", "read_shared"]

_GET_SEALS = 1034


def map_shared(pid: int, parts: Sequence[SharedPart]) -> Any:
    """
    Return writable memory with the bytes that lie in another process's shared memory; what is written stays private.

    Args:
        pid: the other process.
        parts: where the bytes are.

    Raises:
        ValueError: there is other memory, or none that is safe to map.
        MemoryError: this process has no room for it.
        OSError: it can't be opened.
    """
    keep_spare()
    size = sum(part.size for part in parts)
    if not can_stitch():
        copy = bytearray(size)
        read_shared(pid, parts, memoryview(copy))
        return copy
    before = parts[0].offset % PAGESIZE
    with closing(_places(pid, parts, before)) as places:
        memory = Stitched.stitch(before + size, places, is_own=False)
    return memoryview(memory)[before:] if before else memory


def _places(pid: int, parts: Sequence[SharedPart], before: int) -> Generator[tuple[int, int, int]]:
    """Yield descriptor, offset and size of each part, one open at a time; the first begins earlier, at a page."""
    for number, part in enumerate(parts):
        start, end = part.offset - (0 if number else before), part.offset + part.size
        if start % PAGESIZE or (end % PAGESIZE and number < len(parts) - 1):
            raise ValueError("parts that are no pages")
        with _opened(pid, part) as fd:
            yield fd, start, end - start


def read_shared(pid: int, parts: Sequence[SharedPart], target: memoryview) -> None:
    """
    Copy the bytes that lie in another process's shared memory to memory of the same size.

    Raises:
        ValueError, OSError: see `map_shared`.
    """
    for part in parts:
        with _opened(pid, part) as fd:
            done = 0
            while done < part.size:
                done += os.preadv(fd, [target[done : part.size]], part.offset + done)
        target = target[part.size :]


@contextmanager
def _opened(pid: int, part: SharedPart) -> Iterator[int]:
    """Open a part, and check that it is what was meant, and that none of its pages can be taken away."""
    path = f"/proc/{pid}/fd/{part.fd}"
    if not stat.S_ISREG(os.stat(path).st_mode):  # before it is opened: that may have an effect
        raise ValueError("no memory")
    fd, is_spare = _open(path)
    try:
        status = os.fstat(fd)
        if status.st_ino != part.inode or not _seals(fd) & SEAL_SHRINK:
            raise ValueError("other memory, or memory that may shrink")
        if not 0 < part.size <= status.st_size - part.offset:
            raise ValueError(f"{part.size:,} bytes at {part.offset:,}; it has {status.st_size:,}")
        yield fd
    finally:
        os.close(fd)
        if is_spare:
            keep_spare()


def _open(path: str) -> tuple[int, bool]:
    """Return a descriptor, and whether it is the spare one."""
    try:
        return os.open(path, READING), False
    except OSError as error:
        if error.errno != errno.EMFILE or not take_spare():
            raise
    return os.open(path, READING), True


def _seals(fd: int) -> int:
    try:
        return fcntl.fcntl(fd, _GET_SEALS)
    except OSError:  # an ordinary file
        return 0
