"""The time limits of a worker's calls: what passes its limit is cancelled, or ends with the worker."""

from __future__ import annotations

import asyncio
import faulthandler
import os
import signal
import sys
import threading
import traceback
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from time import monotonic
from typing import Any, NamedTuple

from aioparcs import deadlines
from aioparcs.channel import LIMITED, Call, LimitPassed
from aioparcs.launcher.process.call_records import CallRecord
from aioparcs.launcher.process.stacks import format_frames, suspended

__all__ = ["CallLimits", "name_of", "read_limited", "resident_memory"]

# Seconds that the loop gets to stop a coroutine function by itself before it counts as blocked.
_BLOCKED = 0.25
# The longest time that faulthandler can wait, or rather more than anyone will.
_LONGEST = 1e8


class _Watch(NamedTuple):
    """A call that ends with the worker at a time."""

    stop_at: float
    call_id: int
    limit: float
    thread: int


class CallLimits:
    """
    Keeps the time limits of one worker's calls.

    A plain function can't be stopped, nor can a coroutine function that blocks the loop. So ``faulthandler`` is set to
    the first time at which a call passes its limit: then its thread writes the stacks and ends the process. It is
    written in C, and needs no turn of the interpreter, which the function may never give away.

    Args:
        records: the descriptor of the records that the launcher reads when the worker is gone; -1 for none.
        worker: the worker's number.
    """

    def __init__(self, records: int, worker: int) -> None:
        self._records = records
        self._worker = worker
        self._record: CallRecord | None = None  # from the first call on that has a limit
        self._lock = threading.Lock()
        self._watches: dict[int, _Watch] = {}  # by call
        self._first: _Watch | None = None  # the one that faulthandler is set to

    @contextmanager
    def watch(self, call_id: int, limit: float, grace: float = 0.0) -> Iterator[None]:
        """End the process if the block, one at a time for each call, takes longer than the limit and the grace."""
        stop_at = monotonic() + min(limit + grace, _LONGEST)
        with self._lock:
            self._watches[call_id] = _Watch(stop_at, call_id, limit, threading.get_ident())
            self._set()
        try:
            yield
        finally:
            with self._lock:
                del self._watches[call_id]
                self._set()

    async def run(self, call_id: int, limit: float, awaitable: Awaitable[Any], passed: float = 0.0) -> Any:
        """
        Await a coroutine function, and cancel it at its limit; one that goes on all the same ends with the process.

        Args:
            call_id: the call's id.
            limit: its limit in seconds.
            awaitable: what is awaited.
            passed: how many of these seconds are over already.

        Raises:
            LimitPassed: it was cancelled.
        """
        loop, task, timeout = asyncio.get_running_loop(), asyncio.current_task(), asyncio.timeout(limit - passed)
        grace = deadlines.CALL_CLEANUP - passed
        ending = loop.call_later(min(limit + grace, _LONGEST), self._end, call_id, limit, task)
        try:
            with self.watch(call_id, limit, grace + _BLOCKED):
                async with timeout:
                    return await awaitable
        except TimeoutError as error:
            cancelled = error.__cause__ or error.__context__  # Python 3.11.2 names no cause
            if not timeout.expired() or not isinstance(cancelled, asyncio.CancelledError):
                raise  # its own
            frames = traceback.extract_tb(cancelled.__traceback__)
            stack = format_frames((frame.filename, frame.lineno or 0, frame.name) for frame in frames)
        finally:
            ending.cancel()
        raise LimitPassed(limit, stack)

    # Inside

    def _set(self) -> None:
        """Set faulthandler to the first call that will pass its limit."""
        first = min(self._watches.values(), default=None)
        if first == self._first:
            return
        self._first = first
        faulthandler.cancel_dump_traceback_later()  # before the record changes: it is of the call that ends the process
        record = self._open()
        if first is None:
            if record:
                record.clear()
            return
        if record:
            record.write(first.call_id, first.limit, first.stop_at, first.thread)
        left = max(first.stop_at - monotonic(), 1e-3)
        faulthandler.dump_traceback_later(left, exit=True, file=record.fd if record else 2)

    def _open(self) -> CallRecord | None:
        if self._record is None and self._records >= 0:
            self._record = CallRecord(self._records, self._worker)
        return self._record

    def _end(self, call_id: int, limit: float, task: asyncio.Task[Any] | None) -> None:
        """End the process: a coroutine function goes on although it was cancelled."""
        stack = format_frames(suspended(task and task.get_coro()))
        with self._lock:
            faulthandler.cancel_dump_traceback_later()
            if record := self._open():
                record.write(call_id, limit, monotonic(), 0)
        os.write(record.fd if record else 2, stack.encode(errors="replace"))
        sys.stderr.flush()
        os.kill(os.getpid(), signal.SIGKILL)


def read_limited(call: Call) -> tuple[Call, float]:
    """
    Return the call that is to run for a limited time, and how many seconds.

    Raises:
        TypeError, ValueError: the arguments are not those of a limited call.
    """
    limit, name, args, kwargs = call.args
    if not float(limit) > 0 or type(args) is not list or type(kwargs) is not dict:
        raise ValueError
    return Call(call.id, name, args, kwargs, call.context), float(limit)


def name_of(call: Call, functions: Mapping[str, Callable[..., Any]]) -> str:
    """Return the name of the function that a call is of, also if that is to run for a limited time."""
    name = call.args[0].name if call.name == LIMITED else call.name
    return functions[name].__name__ if name in functions else name


def resident_memory() -> int:
    """Return how much memory this process has in the machine's, in bytes; what it shares with others counts, too."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
