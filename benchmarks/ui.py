"""
The cost of being looked at: a pool at its full rate, with its history, a server and a page that is open, and without.

The page has to have counted every call in the end. For the ratio of the rates more is better, for that of the runner's
CPU time less. The server and the page have processes of their own, which on few cores take time from the workers, too.
"""

from __future__ import annotations

import json
import time
from contextlib import ExitStack
from tempfile import TemporaryDirectory

from benchmarks.harness import ROOT, Program, ProgramFailed, Progress, take_turns
from benchmarks.results import Measured, Results, at_least, at_most, ratio

_WORKERS, _CALLS = 500, 20_000
_PATIENCE = 90.0  # seconds for the start of so many workers, or for a round on a busy machine
_SEEN = 30.0  # seconds within which the page has counted all calls
_GENERATION = 3  # pairs between two fresh starts
_LONGEST = 75.0  # seconds after which there is no other one


class _Shown:
    """Two pools, one of which is shown on a page."""

    def __init__(self, stack: ExitStack, workers: int) -> None:
        folder = stack.enter_context(TemporaryDirectory(prefix="ui-"))
        self._programs: list[Program] = []
        server = self._start(stack, folder, "aioparcs", "ui", "--port", "0")
        address = server.line()
        self._plain = self._start(stack, folder, "benchmarks.peers.shown_pool", str(workers))
        self._shown = self._start(stack, folder, "benchmarks.peers.shown_pool", str(workers), shown="1")
        for pool in self._plain, self._shown:
            _expect_ready(pool)
        self._page = self._start(stack, folder, "benchmarks.peers.page", address)
        _expect_ready(self._page)
        self._calls = 0

    def run_plain(self, calls: int) -> tuple[float, float]:
        """Run a round that is not shown, and return its seconds and the runner's CPU seconds."""
        return _times(self._plain, calls)

    def run_shown(self, calls: int) -> tuple[float, float]:
        """Run a round that is shown."""
        self._calls += calls
        return _times(self._shown, calls)

    def check(self) -> None:
        """
        Wait until the page has counted all calls.

        Raises:
            ProgramFailed: it has not.
        """
        deadline = time.monotonic() + _SEEN
        while (seen := int(self._page.ask("count"))) != self._calls:
            if seen > self._calls or time.monotonic() > deadline:
                raise ProgramFailed(f"the page has seen {seen:,} of {self._calls:,} calls")
            time.sleep(0.1)

    def close(self) -> None:
        """End all programs but the server, which has no end of its own."""
        for program in self._programs[:0:-1]:
            program.close()

    def _start(self, stack: ExitStack, folder: str, *command: str, shown: str = "0") -> Program:
        modules = str(ROOT / "benchmarks" / "modules")
        program = Program(
            "-m", *command, patience=_PATIENCE, XDG_STATE_HOME=folder, PARCS_MODULES=modules, PARCS_UI=shown
        )
        stack.callback(program.kill)
        self._programs.append(program)
        return program


def measure(rounds: int, progress: Progress, workers: int = _WORKERS, calls: int = _CALLS) -> Results:
    """Compare a pool that is shown on a page with one that is not."""
    plain: list[tuple[float, float]] = []
    shown: list[tuple[float, float]] = []
    end = time.monotonic() + _LONGEST
    while len(plain) < rounds and (not plain or time.monotonic() < end):
        with ExitStack() as stack:
            pools = _Shown(stack, workers)
            for run in pools.run_plain, pools.run_shown:
                run(calls)  # warms up
            for _ in range(min(_GENERATION, rounds - len(plain))):
                one, other = _turn(len(plain), pools, calls)
                plain.append(one)
                shown.append(other)
                progress(len(plain), rounds)
            pools.check()
            pools.close()
    return _results(plain, shown, calls)


def _turn(turn: int, pools: _Shown, calls: int) -> tuple[tuple[float, float], tuple[float, float]]:
    """Measure both, the one that is not shown first on even turns."""
    cpu: dict[bool, float] = {}

    def plain() -> float:
        seconds, cpu[False] = pools.run_plain(calls)
        return seconds

    def shown() -> float:
        seconds, cpu[True] = pools.run_shown(calls)
        return seconds

    one, other = take_turns(turn, plain, shown)
    return (one, cpu[False]), (other, cpu[True])


def _results(plain: list[tuple[float, float]], shown: list[tuple[float, float]], calls: int) -> Results:
    (seconds, cpu), (shown_seconds, shown_cpu) = (tuple(zip(*rounds, strict=True)) for rounds in (plain, shown))
    return Results(
        [
            Measured("ui_calls_per_s", "calls of a pool that is not shown", [calls / one for one in seconds], "/s"),
            Measured("ui_shown_calls_per_s", "... shown on a page", [calls / one for one in shown_seconds], "/s"),
            Measured("ui_cpu_us_per_call", "runner's CPU time of a call", [1e6 * one / calls for one in cpu], "µs"),
            Measured("ui_shown_cpu_us_per_call", "... shown on a page", [1e6 * one / calls for one in shown_cpu], "µs"),
        ],
        [
            ratio("ui_rate", "rate of calls, shown / not", seconds, shown_seconds, at_least(0.99)),
            ratio("ui_cpu", "runner's CPU time, shown / not", shown_cpu, cpu, at_most(1.02)),
        ],
    )


def _times(pool: Program, calls: int) -> tuple[float, float]:
    seconds, cpu = json.loads(pool.ask(str(calls)))
    return seconds, cpu


def _expect_ready(program: Program) -> None:
    if (line := program.line()) != "ready":
        raise ProgramFailed(f"{program.name} did not get ready: {line}")
