"""What ``import aioparcs`` takes beyond what it stands on (uvloop, msgpack, asyncio): less is better."""

from __future__ import annotations

import time

from benchmarks.harness import Program, Progress, take_turns
from benchmarks.results import Measured, Results, at_most


def measure(rounds: int, progress: Progress) -> Results:
    """Start an interpreter for each, in turns."""
    ours, base, extra = [], [], []
    for done in range(-1, rounds):
        a, b = take_turns(done, lambda: _run("import aioparcs"), lambda: _run("import uvloop, msgpack, asyncio"))
        if done < 0:
            continue  # this one compiled and filled the caches
        ours.append(a)
        base.append(b)
        extra.append(a - b)
        progress(done + 1, rounds)
    return Results(
        [
            Measured("import_ms", "python -c 'import aioparcs'", ours, "ms"),
            Measured("import_base_ms", "python -c 'import uvloop, msgpack, asyncio'", base, "ms"),
            Measured("import_extra_ms", "the difference", extra, "ms", at_most(15)),
        ]
    )


def _run(code: str) -> float:
    start = time.perf_counter()
    Program("-c", code).close()
    return 1000 * (time.perf_counter() - start)
