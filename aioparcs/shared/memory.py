"""Shared memory: made here, filled, and found again behind an array."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import resource
import sys
import threading
import weakref
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from mmap import mmap
from typing import Any, NamedTuple

from aioparcs.cpus import usable_cpus
from aioparcs.shared.stitching import Stitched, advise_huge

__all__ = ["LEAST", "SEAL_SHRINK", "SharedMemory", "SharedPart", "copy_to_shared", "find_shared", "open_memory", "seal"]

# Bytes from which on a buffer crosses by reference: below, a socket is as fast.
LEAST = 1 << 20
# Linux's seals; the module fcntl lacks some of them.
SEAL_SHRINK, _SEAL_GROW, _SEAL_WRITE, _SEAL_FUTURE_WRITE = 2, 4, 8, 16
_ADD_SEALS = 1033
_BURST = 4 << 20
# Bytes for which a thread is worth while, and how many there are at most.
_PART, _THREADS = 32 << 20, 4
# The share of all descriptors that is for others: one of so many.
_SPARE = 4
# Bytes of a huge page, and where the system says which memory has them.
_HUGE_PAGE, _HUGE = 2 << 20, "/sys/kernel/mm/transparent_hugepage/shmem_enabled"


class SharedPart(NamedTuple):
    """
    A part of shared memory, which has a descriptor of its own.

    Attributes:
        fd: the descriptor.
        inode: the number of the memory in the kernel.
        offset: where the part begins behind the descriptor.
        size: its bytes.
    """

    fd: int
    inode: int
    offset: int
    size: int


def open_memory(size: int) -> int:
    """
    Return the descriptor of new memory, filled with zeros, that can't shrink or grow.

    Raises:
        OSError: this system has no such memory, or no room for it.
    """
    if not hasattr(os, "memfd_create"):
        raise OSError("this system has no memory without a name")
    fd = os.memfd_create("aioparcs", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        # The kernel gives the lowest number that is free: a high one means that few are left, for files and sockets.
        limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if fd >= limit - limit // _SPARE:
            raise OSError(errno.EMFILE, "few descriptors are left")
        os.ftruncate(fd, size)
        fcntl.fcntl(fd, _ADD_SEALS, SEAL_SHRINK | _SEAL_GROW)
    except BaseException:
        os.close(fd)
        raise
    return fd


def seal(fd: int) -> None:
    """
    Allow no process to write to memory from now on.

    Raises:
        OSError: a process has mapped it to do so.
    """
    fcntl.fcntl(fd, _ADD_SEALS, _SEAL_WRITE)


class SharedMemory(Stitched):
    """Memory of this process that others can map."""

    parts: Sequence[SharedPart]

    @classmethod
    def of(cls, fds: Sequence[int], *, writable: bool) -> SharedMemory:
        """
        Map memory as one piece, and close its descriptors with it.

        Args:
            fds: the descriptors of its parts.
            writable: whether this process may write to it.

        Raises:
            MemoryError: there is no room for it; the descriptors are closed.
        """
        try:
            states = [os.fstat(fd) for fd in fds]
            parts = [SharedPart(fd, state.st_ino, 0, state.st_size) for fd, state in zip(fds, states, strict=True)]
            size = sum(part.size for part in parts)
            memory = cls.stitch(size, [(part.fd, 0, part.size) for part in parts], is_own=writable)
        except MemoryError:
            _close(fds)
            raise
        memory.parts = parts
        weakref.finalize(memory, _close_held, parts).atexit = False
        if writable:
            _writable.add(memory)
            try:
                fcntl.fcntl(fds[0], _ADD_SEALS, _SEAL_FUTURE_WRITE)
            except OSError:
                pass  # a kernel before 5.1
        return memory

    @property
    def is_open(self) -> bool:
        """True if others can map it: a process that was forked may have closed its descriptors, or has a copy."""
        return bool(self.parts) and all(map(_is_held, self.parts))

    def detach(self) -> None:
        """Part it from the parent of this process, which was forked: what either writes is no longer the other's."""
        parts, self.parts = self.parts, ()
        self.make_private([(part.fd, 0, part.size) for part in parts if _is_held(part)])

    def cut(self, offset: int, size: int) -> Iterator[SharedPart]:
        """Yield the parts of so many bytes from an offset on."""
        for part in self.parts:
            taken = min(size, part.size - offset)
            if taken > 0:
                yield part._replace(offset=offset, size=taken)
                size -= taken
            offset = max(offset - part.size, 0)


_writable: weakref.WeakSet[SharedMemory] = weakref.WeakSet()


def _detach_all() -> None:
    for memory in list(_writable):
        memory.detach()


os.register_at_fork(after_in_child=_detach_all)


def find_shared(view: memoryview) -> tuple[SharedMemory, int] | None:
    """Return the shared memory that a buffer lies in, and where in it; None if it lies elsewhere."""
    owner: Any = view.obj
    while owner is not None and not isinstance(owner, SharedMemory):
        owner = owner.obj if isinstance(owner, memoryview) else getattr(owner, "base", None)
    if owner is None:
        return None
    if len(view) == len(owner):
        return owner, 0
    numpy = sys.modules.get("numpy")
    if numpy is None:
        return None
    return owner, numpy.frombuffer(view, "u1").__array_interface__["data"][0] - owner.address


async def copy_to_shared(view: memoryview) -> memoryview | None:
    """
    Return a copy of a buffer in shared memory, or None if there is no room for one; other tasks run meanwhile.

    Cancelling it leaves nothing behind.
    """
    count = max(1, min(_THREADS, usable_cpus(), len(view) // _PART))
    size = -(-len(view) // (count * _HUGE_PAGE)) * _HUGE_PAGE
    pieces = [view[start : start + size] for start in range(0, len(view), size)]
    fds: list[int] = []
    try:
        for piece in pieces:
            fds.append(open_memory(len(piece)))
        await _fill(fds, pieces)
        for fd in fds:
            seal(fd)
    except OSError:
        _close(fds)
        return None
    except BaseException:
        _close(fds)
        raise
    try:
        return memoryview(SharedMemory.of(fds, writable=False))
    except MemoryError:
        return None


async def _fill(fds: Sequence[int], pieces: Sequence[memoryview]) -> None:
    """
    Write pieces of a buffer, each to a descriptor of its own, in as many threads.

    Most of the time goes into free pages, which the kernel clears, and one thread at a time for each descriptor.
    """
    is_stopped, is_advised = threading.Event(), _needs_advice()

    def write(fd: int, piece: memoryview) -> None:
        done = 0
        with mmap(fd, len(piece)) if is_advised else nullcontext() as memory:
            if memory is not None:
                advise_huge(memory)
            while done < len(piece) and not is_stopped.is_set():
                burst = piece[done : done + _BURST]
                if memory is None:
                    done += os.pwrite(fd, burst, done)
                else:
                    memory[done : done + len(burst)] = burst
                    done += len(burst)

    loop = asyncio.get_running_loop()
    from concurrent.futures import ThreadPoolExecutor  # few processes fill so much: it has hooks in each fork

    with ThreadPoolExecutor(len(fds)) as threads:  # when this is left, none of them uses a descriptor
        try:
            await asyncio.gather(*map(lambda *args: loop.run_in_executor(threads, write, *args), fds, pieces))
        finally:
            is_stopped.set()


def _needs_advice() -> bool:
    """Return True if shared memory has huge pages only where they are requested: in mappings, not by writing."""
    try:
        with open(_HUGE) as file:
            return "[advise]" in file.read()
    except OSError:
        return False


def _is_held(part: SharedPart) -> bool:
    """Return True if a descriptor of this process is still that part's."""
    try:
        state = os.fstat(part.fd)
    except OSError:
        return False
    return state.st_ino == part.inode and not state.st_nlink


def _close_held(parts: Sequence[SharedPart]) -> None:
    for part in filter(_is_held, parts):
        os.close(part.fd)


def _close(fds: Sequence[int]) -> None:
    for fd in fds:
        os.close(fd)
