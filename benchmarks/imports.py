"""
The CPU time of a program's start beyond `import asyncio`, which each has: less is better.

The package loads its parts when they are needed, so the imports say little by themselves: the runner is one that begins
and ends without workers. CPU time, of the program and the kernel, says what each start takes also of a busy machine.
"""

from __future__ import annotations

from resource import RUSAGE_CHILDREN, getrusage

from benchmarks.harness import Program, Progress
from benchmarks.results import Measured, Results, at_most

_BASE = "import asyncio"
_NAMES = "from aioparcs import Runner, run"
_SERVICE = "from aioparcs import Service, serve"
_RUNNER = f"""
import asyncio
{_NAMES}
async def main():
    async with Runner():
        pass
asyncio.run(main())
"""


def measure(rounds: int, progress: Progress) -> Results:
    """Start an interpreter for each, in turns."""
    times: dict[str, list[float]] = {_BASE: [], _NAMES: [], _SERVICE: [], _RUNNER: []}
    for code in times:
        _run(code)  # this one compiled, and filled the caches
    for turn in range(rounds):
        for code in list(times)[:: -1 if turn % 2 else 1]:
            times[code].append(_run(code))
        progress(turn + 1, rounds)
    names, service, runner = (
        [a - b for a, b in zip(times[code], times[_BASE], strict=True)] for code in (_NAMES, _SERVICE, _RUNNER)
    )
    return Results(
        [
            Measured("import_base_ms", f"python -c '{_BASE}', CPU", times[_BASE], "ms"),
            Measured("import_runner_extra_ms", f"{_NAMES}, beyond that", names, "ms", at_most(15)),
            Measured("import_service_extra_ms", f"{_SERVICE}, beyond that", service, "ms", at_most(15)),
            Measured("empty_runner_extra_ms", "async with Runner(): pass, beyond that", runner, "ms", at_most(60)),
        ]
    )


def _run(code: str) -> float:
    before = getrusage(RUSAGE_CHILDREN)
    Program("-c", code).close()
    after = getrusage(RUSAGE_CHILDREN)
    return 1000 * (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
