"""
The cost of being looked at: a pool at its full rate, with its calls in the history that a page shows, and without.

The runner has a core, and shares it with nothing; so has the process that answers the calls of all workers. Hundreds of
workers that computed would take turns on few cores, and make too few calls for a runner that is to be busy. The server
and the client of the page share the other core. The page has to have counted every call in the end.
"""

from __future__ import annotations

import json
import os
import time
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.harness import ROOT, Program, ProgramFailed, Progress, take_turns
from benchmarks.results import Measured, Results, at_least, at_most, ratio

_POOLS = {500: 80_000, 8: 240_000}  # workers, and the calls of a round, which takes a second or two
_PATIENCE = 60.0  # seconds for the start of so many workers, or for a round on a busy machine
_SEEN = 30.0  # seconds within which the page has counted all calls
_LONGEST = 70.0  # seconds of a pool after which there is no other pair

_Round = tuple[float, float]  # its seconds, and the runner's CPU seconds


class _Shown:
    """A pool that is shown on a page."""

    def __init__(self, stack: ExitStack, workers: int) -> None:
        folder = stack.enter_context(TemporaryDirectory(prefix="ui-"))
        modules = str(ROOT / "benchmarks" / "modules")
        self._environment = {"XDG_STATE_HOME": folder, "PARCS_MODULES": modules, "PARCS_UI": "1"}
        self._stack = stack
        self._calls = workers  # those of setup
        address = self._start("aioparcs", "ui", "--port", "0").line()
        path = str(Path(folder, "crowd"))
        self._crowd = self._start("benchmarks.peers.crowd", path)
        _expect_ready(self._crowd)
        self._pool = self._start("benchmarks.peers.shown_pool", str(workers), path, is_placed=False)
        _expect_ready(self._pool)
        self._page = self._start("benchmarks.peers.page", address)
        _expect_ready(self._page)

    def run(self, calls: int, *, has_calls: bool) -> _Round:
        """Run a round, and return its seconds and the runner's CPU seconds."""
        self._calls += calls * has_calls
        seconds, cpu = json.loads(self._pool.ask(f"{calls} {int(has_calls)}"))
        return seconds, cpu

    def check(self) -> None:
        """
        Wait until the page has counted all calls.

        Raises:
            ProgramFailed: it has not.
        """
        self.run(0, has_calls=True)
        deadline = time.monotonic() + _SEEN
        while (seen := int(self._page.ask("count"))) != self._calls:
            if seen > self._calls or time.monotonic() > deadline:
                raise ProgramFailed(f"the page has seen {seen:,} of {self._calls:,} calls")
            time.sleep(0.1)

    def close(self) -> None:
        """End all programs but the server, which has no end of its own."""
        for program in self._page, self._pool, self._crowd:
            program.close()

    def _start(self, *command: str, is_placed: bool = True) -> Program:
        core = max(os.sched_getaffinity(0)) if is_placed else None
        program = Program("-m", *command, core=core, patience=_PATIENCE, **self._environment)
        self._stack.callback(program.kill)
        return program


def measure(rounds: int, progress: Progress, pools: dict[int, int] | None = None) -> Results:
    """Compare rounds of pools whose calls are shown on a page with rounds of the same pools whose calls are not."""
    results = Results()
    for workers, calls in (pools or _POOLS).items():
        results.add(_results(workers, calls, *_measure(rounds, progress, workers, calls)))
    return results


def _measure(rounds: int, progress: Progress, workers: int, calls: int) -> tuple[list[_Round], list[_Round]]:
    plain: list[_Round] = []
    shown: list[_Round] = []
    with ExitStack() as stack:
        pool = _Shown(stack, workers)
        for has_calls in False, True:
            pool.run(calls, has_calls=has_calls)  # warms up
        end = time.monotonic() + _LONGEST
        while len(plain) < rounds and (not plain or time.monotonic() < end):
            one, other = take_turns(
                len(plain), lambda: pool.run(calls, has_calls=False), lambda: pool.run(calls, has_calls=True)
            )
            plain.append(one)
            shown.append(other)
            progress(len(plain), rounds)
        pool.check()
        pool.close()
    return plain, shown


def _results(workers: int, calls: int, plain: list[_Round], shown: list[_Round]) -> Results:
    (seconds, cpu), (shown_seconds, shown_cpu) = (tuple(zip(*rounds, strict=True)) for rounds in (plain, shown))
    key, of = f"ui_{workers}", f"of {workers} workers"
    return Results(
        [
            Measured(f"{key}_calls_per_s", f"calls {of}, not shown", [calls / one for one in seconds], "/s"),
            Measured(f"{key}_cpu_us", f"runner's CPU time of a call {of}", [1e6 * one / calls for one in cpu], "µs"),
        ],
        [
            ratio(f"{key}_rate", f"rate of calls {of}, shown / not", seconds, shown_seconds, at_least(0.99)),
            ratio(f"{key}_cpu", f"runner's CPU time {of}, shown / not", shown_cpu, cpu, at_most(1.02)),
        ],
    )


def _expect_ready(program: Program) -> None:
    if (line := program.line()) != "ready":
        raise ProgramFailed(f"{program.name} did not get ready: {line}")
