"""
The times of single calls of a pool, and of single messages by `recv_any`, by the number of workers: the slowest, too.

One after the other; and at a fixed rate, a quarter to a half of that, where each time runs from when the call was due:
a stall is in the times of all calls that it delays. Percentiles are of all times of a round.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import ExitStack
from tempfile import TemporaryDirectory

from benchmarks.harness import ROOT, Program, ProgramFailed, Progress
from benchmarks.results import Measured, Results, at_most, ratio

_WORKERS = (1, 8, 50, 200)
_CALLS = 10_000  # of a round: ten of them are slower than the 99.9th percentile
_RATE = 2_000  # calls a second
_SHARES = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999}
_MOST = 5  # rounds, of two minutes or more each
_NAMES = {
    "submit": "submit",
    "submit_off": "submit, no history",
    "recv": "send and recv_any",
    "bare": "bare protocols in turn",
    "bare1": "one of the bare protocols",
}
# What has a limit; the bare protocols show how much of each is the machine's own.
_TARGETS = {"submit", "submit_off", "recv"}
_LOADS = {"idle": 0, "half": _RATE}

_Percentiles = dict[tuple[str, str, int, str], list[float]]  # by kind, load, workers and percentile: one of each round


def measure(rounds: int, progress: Progress, calls: int = _CALLS, sizes: Sequence[int] = _WORKERS) -> Results:
    """Measure both with each number of workers in turn, which is a program of its own in each round."""
    taken: _Percentiles = {}
    rounds, done = min(rounds, _MOST), 0
    total = rounds * len(_NAMES) * len(sizes)
    for _ in range(rounds):
        for kind in _NAMES:
            for workers in sizes:
                for load, times in _run(kind, workers, calls).items():
                    for name, share in _SHARES.items():
                        value = times[min(len(times) - 1, int(share * len(times)))]
                        taken.setdefault((kind, load, workers, name), []).append(value)
                done += 1
                progress(done, total)
    return _results(taken, sizes)


def _run(kind: str, workers: int, calls: int) -> dict[str, list[float]]:
    """Return the sorted times of a program's calls with each load."""
    with ExitStack() as stack:
        folder = stack.enter_context(TemporaryDirectory(prefix="latency-"))
        modules = str(ROOT / "benchmarks" / "modules")
        what, _, history = kind.partition("_")
        command = "-m", "benchmarks.peers.latency", what, str(workers)
        program = Program(*command, XDG_STATE_HOME=folder, PARCS_MODULES=modules, PARCS_HISTORY=history or "on")
        stack.callback(program.kill)
        if program.line() != "ready":
            raise ProgramFailed(f"{kind} with {workers} workers did not get ready")
        program.ask(f"{calls // 10} 0")  # warms up
        times = {load: sorted(json.loads(program.ask(f"{calls} {rate}"))) for load, rate in _LOADS.items()}
        program.close()
        return times


def _results(taken: _Percentiles, sizes: Sequence[int]) -> Results:
    figures: list[Measured] = []
    for (kind, load, workers, name), values in taken.items():
        text = f"{_NAMES[kind]}, {load}, {workers} workers, {name}"
        figures.append(Measured(f"{kind}_{load}_{workers}_{name.replace('.', '')}_us", text, values, "µs"))
    ratios: list[Measured] = []
    few, many = sizes[0], sizes[-1]
    for kind, what in _NAMES.items():
        usual, most = (taken[kind, "idle", many, name] for name in ("p50", "p99.9"))
        least = taken[kind, "idle", few, "p50"]
        limits = (at_most(1.3), at_most(3)) if kind in _TARGETS else (None, None)
        text = f"{what}, p50: {many} workers / {few}"
        ratios.append(ratio(f"{kind}_p50_{many}_vs_{few}", text, usual, least, limits[0]))
        text = f"{what}, {many} workers: p99.9 / p50"
        ratios.append(ratio(f"{kind}_{many}_p999_vs_p50", text, most, usual, limits[1]))
    return Results(figures, ratios)
