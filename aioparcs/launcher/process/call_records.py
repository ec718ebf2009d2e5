"""
The records of calls with a time limit, in memory that outlives their workers.

A worker writes down which call it will be ended with, and when; its launcher reads that when the worker is gone. Where
the call was, is written behind the record by ``faulthandler``, whose thread needs nothing of the interpreter.
"""

from __future__ import annotations

import ctypes
import os
import struct
from time import monotonic
from typing import NamedTuple

__all__ = ["STRIDE", "CallRecord", "StoppedCall", "free", "make_records", "read_stopped"]

_HEAD = struct.Struct("=qddQ")  # the call's id, its limit, when it is stopped, the thread that it runs in
# Bytes for each worker, of which the file holds only what was written: faulthandler writes up to 100 threads.
STRIDE = 1 << 24
# Bytes of those that are read, and of the one thread's stack that is passed on.
_DUMP, _LONGEST = 1 << 20, 8 << 10
# Seconds by which clocks may differ.
_ROUNDING = 0.01
_KEEP_SIZE, _PUNCH_HOLE = 1, 2
_fallocate = ctypes.CDLL(None, use_errno=True).fallocate
_fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]


class StoppedCall(NamedTuple):
    """
    A call that has passed its limit, and has ended its worker.

    Attributes:
        call_id: its id.
        limit: its limit in seconds.
        stack: the stack of its thread, the most recent call first, in the form of ``faulthandler``.
    """

    call_id: int
    limit: float
    stack: str


class CallRecord:
    """
    The record of one worker, as it writes it.

    Args:
        records: the descriptor of all records.
        worker: the worker's number.

    Attributes:
        fd: the descriptor that a stack is to be written to.
    """

    def __init__(self, records: int, worker: int) -> None:
        # Opened again: the one that is inherited has one position for all workers.
        self.fd = os.open(f"/proc/self/fd/{records}", os.O_WRONLY | os.O_CLOEXEC)
        self._start = worker * STRIDE
        os.lseek(self.fd, self._start + _HEAD.size, os.SEEK_SET)

    def write(self, call_id: int, limit: float, stop_at: float, thread: int) -> None:
        """Write down the call that the worker ends with, unless it is done by then; 0 for no one thread."""
        os.pwrite(self.fd, _HEAD.pack(call_id, limit, stop_at, thread), self._start)

    def clear(self) -> None:
        """Write down that the worker ends with no call."""
        os.pwrite(self.fd, bytes(_HEAD.size), self._start)


def make_records() -> int:
    """Return the descriptor of the records of all workers that this process will have."""
    return os.memfd_create("aioparcs-calls")


def free(records: int, start: int, size: int) -> None:
    """Free a part of the memory, which then reads as zeros."""
    _fallocate(records, _PUNCH_HOLE | _KEEP_SIZE, start, size)


def read_stopped(records: int, worker: int, package: str) -> StoppedCall | None:
    """
    Return the call that a worker has ended with, None if it has ended otherwise; free the memory of its record.

    Args:
        records: the descriptor of all records.
        worker: the worker's number.
        package: the folder of this package, whose frames and those that called them are left out.
    """
    start = worker * STRIDE
    head = os.pread(records, _HEAD.size, start)
    if len(head) < _HEAD.size:  # neither this worker nor a later one has had such a call
        return None
    call_id, limit, stop_at, thread = _HEAD.unpack(head)
    is_stopped = limit and monotonic() + _ROUNDING >= stop_at
    dump = os.pread(records, _DUMP, start + _HEAD.size) if is_stopped else b""
    free(records, start, STRIDE)
    if not is_stopped:
        return None
    text = dump.rstrip(b"\0").decode(errors="replace")
    return StoppedCall(call_id, limit, _own_frames(_thread_of(text, thread), package))


def _thread_of(dump: str, thread: int) -> list[str]:
    """Return the frames of one thread; those of all if it isn't there, as when it writes its stack by itself."""
    heads = (f"Thread 0x{thread:016x}", f"Current thread 0x{thread:016x}")
    sections = dump.split("\n\n") if thread else [dump]
    for section in sections:
        lines = section.splitlines()
        for number, line in enumerate(lines):
            if thread and line.startswith(heads):
                return lines[number + 1 :]
    return dump.splitlines()


def _own_frames(lines: list[str], package: str) -> str:
    """Return the frames of the user's code: those above the first of this package."""
    inside = [number for number, line in enumerate(lines) if line.startswith(f'  File "{package}')]
    text = "\n".join(lines[: inside[0]] if inside and inside[0] else lines)
    return text.encode()[:_LONGEST].decode(errors="ignore")
