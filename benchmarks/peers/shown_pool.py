"""
A pool of aioparcs that says what its runner costs, with its calls in the history and without: ``MODULE WORKERS PATH``.

Its workers hand their connections to the process that listens at PATH, see `benchmarks.peers.crowd`. It prints
``ready``. Then each line on its input has a number of calls, and 1 if they are in the history, else 0. It is answered
by the seconds that they took and the CPU time of this process meanwhile. After ``0 1`` the history is complete. The end
of its input ends it.

Both are rounds of one pool: what differs between two processes, such as where their memory is, is more than what a
history costs.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from contextlib import AsyncExitStack, redirect_stderr
from io import StringIO
from typing import Any

import uvloop

from aioparcs import Pool, Runner
from aioparcs.pool.dispatch import Dispatcher
from aioparcs.pool.observers import CallObserver
from aioparcs.pool.scheduler import Tally
from aioparcs.pool.trace import CallTrace
from benchmarks.peers.control import expect, place


class _History:
    """
    The calls of a pool in its history, which can be left out for a while, as they are where no page is wanted.

    Meanwhile its time stands still: what was not written before is written afterwards, as if no time had passed.
    """

    def __init__(self, pool: Pool) -> None:
        self._loop = asyncio.get_running_loop()
        self._events = pool._events
        dispatcher = pool._dispatcher
        self._traced = dispatcher, dispatcher.workers, dispatcher.streams, dispatcher._performer
        self._states = pool._scheduler.workers
        self._observer = dispatcher._trace
        self._trace = _trace_of(dispatcher)
        self._tallies: dict[int, Tally | None] = {}
        self._stopped, self._left = self._loop.time(), 0.0

    def stop(self) -> None:
        """Leave out what comes."""
        self._events.wants_calls = False
        self._set_observer(None)
        self._tallies = {number: state.tally for number, state in self._states.items()}
        for state in self._states.values():
            state.tally = None
        self._stopped = self._loop.time()
        if due := self._trace._due:
            self._left = due.when() - self._stopped
            due.cancel()

    def go_on(self) -> None:
        """Write what comes."""
        self._events.wants_calls = True
        self._set_observer(self._observer)
        passed = self._loop.time() - self._stopped
        for number, tally in self._tallies.items():
            self._states[number].tally = tally
            if tally is not None:
                tally.begin, tally.end = tally.begin + passed, tally.end + passed
        if self._trace._due:
            self._trace._due = self._loop.call_later(self._left, self._trace.publish)

    def flush(self) -> None:
        """Write what was not written yet."""
        self._trace.publish()

    def _set_observer(self, observer: CallObserver | None) -> None:
        for part in self._traced:
            part._trace = observer


def _trace_of(dispatcher: Dispatcher) -> CallTrace:
    """Return what notes the calls of a dispatcher, without the guard around it."""
    guard: Any = dispatcher._trace
    (trace,) = guard._observers
    assert isinstance(trace, CallTrace)
    return trace


async def _run_round(pool: Pool, count: int) -> tuple[float, float]:
    began, cpu, total = time.perf_counter(), time.process_time(), 0
    async for answer in pool.imap_unordered(range(count)):
        total += answer
    took = time.perf_counter() - began, time.process_time() - cpu
    expect(total == count * (count + 1) // 2, "an answer differs")
    return took


async def _main(workers: int, path: str) -> None:
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cores)})  # where the processes stay that the runner starts
    async with AsyncExitStack() as stack:
        with redirect_stderr(StringIO()):  # it prints the page's address
            runner = await stack.enter_async_context(Runner())
        wanted = runner.pool("crowd", workers, function="noop", setup={"path": path}, progress=False)
        pool = await stack.enter_async_context(wanted)
        history = _History(pool)
        history.stop()
        os.sched_setaffinity(0, cores)
        place(0)
        print("ready", flush=True)
        # A thread waits for the harness, so that the loop is free meanwhile; it sleeps while a round is measured.
        while line := await asyncio.to_thread(sys.stdin.readline):
            count, has_calls = map(int, line.split())
            if has_calls:
                history.go_on()
            took = await _run_round(pool, count)
            if not count:
                history.flush()
            if has_calls:
                history.stop()
            print(json.dumps(took), flush=True)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as _loop:
        _loop.run(_main(int(sys.argv[1]), sys.argv[2]))
