"""
The protocol between a measured program and the harness, and what all measure alike.

A program prints ``ready``. To each line, the name of a mode, it answers with the seconds of a round and the bytes of
memory that it took. Receivers of arrays look at a number of each page, and the sums are compared.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

import numpy as np
import psutil

from benchmarks.peers.control import expect

_SMALLER = int(os.environ.get("SMALLER", "1"))  # times that all arrays are smaller than usual: for a test
CONSTANT, ITEM, BOTH_WAYS = (1 << 30) // _SMALLER, (8 << 20) // _SMALLER, (64 << 20) // _SMALLER  # bytes
WORKERS, ITEMS, EXCHANGES = 8, 200, 16


def array_of(size: int) -> Any:
    """Return an array of random numbers, the same each time."""
    array = np.empty(size // 8)
    array[:] = np.random.default_rng(size).random(1 << 17).repeat(max(1, size >> 20))[: len(array)]
    return array


def total(array: Any) -> float:
    """Return the sum of a number of each page."""
    return float(array[::512].sum())


def memory() -> int:
    """Return the bytes of memory of this process and all below it, what is shared counted once."""
    tree = [psutil.Process(), *psutil.Process().children(recursive=True)]
    return sum(int(process.memory_full_info().pss) for process in tree)


def check(sums: list[float], wanted: float, count: int) -> None:
    """Check what the receivers of an array have returned."""
    expect(sums == [wanted] * count, "an array differs")


def answer(seconds: float, taken: int = 0) -> None:
    """Print the answer to the harness."""
    print(json.dumps([seconds, taken]), flush=True)


def ready() -> None:
    """Print that the workers are up."""
    print("ready", flush=True)


def clock() -> float:
    """Return the seconds of a clock."""
    return time.perf_counter()


def serve_rounds(modes: dict[str, Any]) -> None:
    """Run the rounds of the modes; each returns its seconds."""
    ready()
    for line in sys.stdin:
        answer(modes[line.strip()]())


def identity(_: Any) -> int:
    """Return the process, a little later: so that each of a pool gets one."""
    time.sleep(0.01)
    return os.getpid()
