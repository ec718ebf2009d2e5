"""
The stacks of a worker that goes on, on demand: a worker writes them to memory that its launcher reads.

The first of two signals has Python write them, in the main thread and with the GIL, so all that it reads is sound, and
it knows the tasks too. Where Python doesn't come to that, because C code keeps the GIL, the second one has
``faulthandler`` write them from its handler in C: then no other thread runs Python either.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import struct
from _signal import siginterrupt  # type: ignore[import-not-found]  # see `child`
from _signal import signal as set_handler
from functools import partial
from types import FrameType

from aioparcs.launcher.process.call_records import STRIDE, free

__all__ = ["ANSWER", "DUMP", "StackMemory", "answer_signals", "handles", "ignore_signals"]

# Of the real-time signals, whose numbers no program uses by accident.
ANSWER, DUMP = signal.SIGRTMIN + 7, signal.SIGRTMIN + 8
# Where a worker's part of the memory has the answer, and the dump; the first half is its call's.
_ANSWER_AT, _DUMP_AT = STRIDE // 2, STRIDE // 4 * 3
_HEAD = struct.Struct("=qq")  # the number of answers so far, and the size of the last one
# Bytes of a text, and of a dump, of which only the user's frames are passed on.
_LONGEST, _LONGEST_DUMP = 64 << 10, 1 << 20


def ignore_signals() -> None:
    """Ignore both signals: in a process that doesn't answer them yet, they would be its end."""
    signal.signal(ANSWER, signal.SIG_IGN)
    signal.signal(DUMP, signal.SIG_IGN)


def handles(pid: int, number: int) -> bool:
    """Return whether a process has a handler for a signal, which would be its end otherwise."""
    try:
        with open(f"/proc/{pid}/status") as file:
            caught = next((line for line in file if line.startswith("SigCgt:")), "SigCgt: 0")
    except OSError:
        return False
    return bool(int(caught.split()[1], 16) & 1 << number - 1)


def answer_signals(records: int, worker: int) -> None:
    """
    Answer both signals from now on.

    Args:
        records: the descriptor of the memory, whose position is shared by all workers and their launcher.
        worker: the worker's number.
    """
    set_handler(ANSWER, partial(_answer, records, worker * STRIDE + _ANSWER_AT))
    siginterrupt(ANSWER, False)  # or it would interrupt system calls of libraries
    faulthandler.register(DUMP, file=records, all_threads=True)


def _answer(records: int, start: int, _number: int, frame: FrameType | None) -> None:
    """Write the stacks, and then that they are there; whatever fails, the user's code goes on."""
    try:
        from aioparcs.launcher.process.stacks import describe_stacks  # nearly no worker needs it

        text = describe_stacks(frame)
    except Exception as error:
        text = f"its stack can't be read: {type(error).__name__}: {error}"
    try:
        data = text.encode(errors="replace")[:_LONGEST]
        count, _ = _read_head(records, start)
        os.pwrite(records, data, start + _HEAD.size)
        os.pwrite(records, _HEAD.pack(count + 1, len(data)), start)
    except OSError:
        pass  # there is no memory left for it


def _read_head(records: int, start: int) -> tuple[int, int]:
    count, size = _HEAD.unpack(os.pread(records, _HEAD.size, start).ljust(_HEAD.size, b"\0"))
    return count, size


class StackMemory:
    """
    The launcher's side of the memory.

    Args:
        records: its descriptor.
        worker: the worker whose stacks are read.
    """

    def __init__(self, records: int, worker: int) -> None:
        self._records = records
        self._start = worker * STRIDE

    def count(self) -> int:
        """Return how many answers the worker has given."""
        return self._head()[0]

    def answer(self) -> str:
        """Return the latest answer."""
        size = self._head()[1]
        return os.pread(self._records, size, self._start + _ANSWER_AT + _HEAD.size).decode(errors="replace")

    def expect_dump(self) -> None:
        """Free the room for a dump; no other worker may write one until it is there."""
        self._free_dump()
        os.lseek(self._records, self._start + _DUMP_AT, os.SEEK_SET)

    def dump(self) -> str:
        """Return the dump, and free its memory."""
        data = os.pread(self._records, _LONGEST_DUMP, self._start + _DUMP_AT)
        self._free_dump()
        return data.rstrip(b"\0").decode(errors="replace")

    def _head(self) -> tuple[int, int]:
        return _read_head(self._records, self._start + _ANSWER_AT)

    def _free_dump(self) -> None:
        free(self._records, self._start + _DUMP_AT, STRIDE - _DUMP_AT)
