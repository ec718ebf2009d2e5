"""The result log of a worker: its latest results, in memory that outlives it."""

from __future__ import annotations

import mmap
import struct
import threading

__all__ = ["ResultLog"]

_HEAD = struct.Struct("=Q")
_pack_into = _HEAD.pack_into
# Two halves, of which each begins with the number of its bytes. The one that is full and the one that is being filled
# have the latest results: some hundred small ones, at the least, or several hundred notes that a call was finished. A
# launcher sends all of them in one datagram.
_HALF = 24 << 10
_SIZE = 2 * _HALF


class ResultLog:
    """
    The latest results of calls: those that wait to leave the process together, and those that were sent before.

    What was sent may get lost, too: the kernel drops it when it closes a socket with something unread. The memory is
    shared with the process that forked the worker, which reads it when the worker is gone. So results may leave
    together, in one system call, and are not lost when the next call kills the process.

    Args:
        memory: some shared memory.
        number: the number of this log among those in the memory.
    """

    def __init__(self, memory: mmap.mmap, number: int) -> None:
        self._memory = memory
        self._halves = number * _SIZE, number * _SIZE + _HALF
        self._start, self._other = self._halves  # of the half that is written to
        self._end = _HEAD.size
        self._is_unsent = self._is_other_unsent = False
        self._lock = threading.Lock()  # the event loop writes, and the thread that runs functions

    @classmethod
    def make(cls, count: int) -> list[ResultLog]:
        """Return some logs, all empty; pages that are never written to take no memory."""
        memory = mmap.mmap(-1, count * _SIZE)
        return [cls(memory, number) for number in range(count)]

    def add(self, frame: bytes, *, waits: bool) -> bool:
        """
        Write a small frame to the log, in the place of old ones.

        Args:
            frame: a result.
            waits: whether it waits for others to leave with: until `mark_sent` nothing takes its place.

        Returns:
            False when there is no room for it.
        """
        with self._lock:
            end = self._end + len(frame)
            if end > _HALF:
                if self._is_other_unsent:
                    return False
                self._turn()
                end = self._end + len(frame)
            start = self._start
            self._memory[start + self._end : start + end] = frame
            # Last: the launcher, which reads it when this process is gone, finds whole frames only.
            _pack_into(self._memory, start, end - 8)
            self._end = end
            self._is_unsent = self._is_unsent or waits
            return True

    def mark_sent(self) -> None:
        """Note that those that waited have left the process: others may take their places."""
        with self._lock:
            self._is_unsent = self._is_other_unsent = False

    def clear(self) -> None:
        """Remove all results: none of them is wanted now."""
        with self._lock:
            for start in self._halves:
                _pack_into(self._memory, start, 0)
            self._end = _HEAD.size
            self._is_unsent = self._is_other_unsent = False

    def read(self) -> bytes:
        """Return the frames that were written, concatenated, in any order but those of one call."""
        return b"".join(map(self._read, self._halves))

    def _turn(self) -> None:
        """Go on in the other half."""
        self._start, self._other = self._other, self._start
        self._is_unsent, self._is_other_unsent = False, self._is_unsent
        self._end = _HEAD.size
        _pack_into(self._memory, self._start, 0)

    def _read(self, start: int) -> bytes:
        (size,) = _HEAD.unpack_from(self._memory, start)
        begin = start + _HEAD.size
        return self._memory[begin : begin + min(size, _HALF - _HEAD.size)]
