"""
The cost of ``import aioparcs`` beyond its dependencies (uvloop, msgpack, asyncio): less is better.

The package loads its parts when their names are used, so the plain import says little by itself; the figure
with names is what a program pays that has a runner or a service in it.
"""

from __future__ import annotations

import time

from benchmarks.harness import Program, Progress
from benchmarks.results import Measured, Results, at_most

_BASE = "import uvloop, msgpack, asyncio"
_PLAIN = "import aioparcs"
_NAMES = "import uvloop; from aioparcs import Runner, Service, run, serve"


def measure(rounds: int, progress: Progress) -> Results:
    """Start an interpreter for each, in turns."""
    times: dict[str, list[float]] = {_BASE: [], _PLAIN: [], _NAMES: []}
    for code in times:
        _run(code)  # this one compiled, and filled the caches
    for turn in range(rounds):
        for code in list(times)[:: -1 if turn % 2 else 1]:
            times[code].append(_run(code))
        progress(turn + 1, rounds)
    plain, names = ([a - b for a, b in zip(times[code], times[_BASE], strict=True)] for code in (_PLAIN, _NAMES))
    return Results(
        [
            Measured("import_base_ms", f"python -c '{_BASE}'", times[_BASE], "ms"),
            Measured("import_extra_ms", "import aioparcs, beyond that", plain, "ms", at_most(15)),
            Measured("import_names_extra_ms", "... and Runner, Service, run, serve", names, "ms"),
        ]
    )


def _run(code: str) -> float:
    start = time.perf_counter()
    Program("-c", code).close()
    return 1000 * (time.perf_counter() - start)
