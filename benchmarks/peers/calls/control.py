"""The protocol between a measured pool and the harness, the pool's functions, and its clocks."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import psutil

from benchmarks.peers.control import expect

_CPU_CLOCK = 2  # Linux: ~pid << 3 | 2 is the clock of all threads of a process, to the nanosecond; /proc has 10 ms


def noop(number: int) -> int:
    """Return the next number, so that every answer differs."""
    return number + 1


def pause(number: int) -> tuple[int, int]:
    """Wait for 10 ms, and return the next number and the process that waited."""
    time.sleep(0.010)
    return number + 1, os.getpid()


class Clock:
    """Runs from when it is made: seconds, and CPU seconds of this process and of all that are below it now."""

    def __init__(self) -> None:
        self._pids = [os.getpid(), *(child.pid for child in psutil.Process().children(recursive=True))]
        self._cpu = self._spent()
        self._start = time.perf_counter()

    def stop(self, **more: Any) -> str:
        """Return the measured times, and more that was, as the answer to the harness."""
        seconds = time.perf_counter() - self._start
        return json.dumps([seconds, self._spent() - self._cpu, more])

    def _spent(self) -> float:
        return sum(time.clock_gettime(~pid << 3 | _CPU_CLOCK) for pid in self._pids)


def check(answers: Iterable[int], count: int) -> None:
    """
    Check that every call was answered once and rightly, in any order.

    Raises:
        WrongMessage: one was not.
    """
    expect(sorted(answers) == list(range(1, count + 1)), "an answer differs")


def check_workers(pids: Iterable[int], workers: int) -> None:
    """
    Check that the workers are processes of their own.

    Raises:
        WrongMessage: they are not.
    """
    found = len({*pids} - {os.getpid()})
    expect(found == workers, f"{found} processes work, not {workers}")


def run_rounds(modes: Mapping[str, Callable[[int], list[int]]]) -> None:
    """Print that the workers are up, and run the rounds; each mode makes so many calls and returns their answers."""
    print("ready", flush=True)
    for line in sys.stdin:
        mode, count = line.split()
        clock = Clock()
        answers = modes[mode](int(count))
        took = clock.stop()
        check(answers, int(count))
        print(took, flush=True)
