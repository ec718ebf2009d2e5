"""The result log of a worker: results that perhaps were not sent, in memory that outlives it."""

from __future__ import annotations

import mmap
import struct

__all__ = ["ResultLog"]

_SIZE = 16 << 10
_HEAD = struct.Struct("=Q")
_pack_into = _HEAD.pack_into


class ResultLog:
    """
    Results of calls that are finished but may not have left the process.

    Its memory is shared with the process that forked the worker, which reads it when the worker is gone: so results
    may leave together, in one system call, and are not lost when the next call kills the process.

    Args:
        memory: some shared memory.
        number: the number of this log among those in the memory.
    """

    def __init__(self, memory: mmap.mmap, number: int) -> None:
        self._memory = memory
        self._start = number * _SIZE
        self._end = _HEAD.size

    @classmethod
    def make(cls, count: int) -> list[ResultLog]:
        """Return some logs, all empty; pages that are never written to take no memory."""
        memory = mmap.mmap(-1, count * _SIZE)
        return [cls(memory, number) for number in range(count)]

    def add(self, frame: bytes) -> bool:
        """Write a frame to the log; return False when there is no room for it."""
        end = self._end + len(frame)
        if end > _SIZE:
            return False
        start = self._start
        self._memory[start + self._end : start + end] = frame
        # Last: the launcher, which reads it when this process is gone, finds whole frames only.
        _pack_into(self._memory, start, end - 8)
        self._end = end
        return True

    def clear(self) -> None:
        """Clear the log: all results have left the process."""
        _HEAD.pack_into(self._memory, self._start, 0)
        self._end = _HEAD.size

    def read(self) -> bytes:
        """Return the frames that were written, concatenated."""
        (size,) = _HEAD.unpack_from(self._memory, self._start)
        begin = self._start + _HEAD.size
        return self._memory[begin : begin + min(size, _SIZE - _HEAD.size)]
