"""
Large arrays for the workers of this machine: one of 1 GiB for all of 8, 200 of 8 MiB for any, 64 MiB back and forth.

Each receiver looks at every page. A shared array was made before: what it costs to fill it is not measured. The ratios
are time over time.
"""

from __future__ import annotations

import json
from contextlib import ExitStack
from importlib.util import find_spec
from tempfile import TemporaryDirectory
from typing import NamedTuple

from benchmarks.harness import ROOT, Program, ProgramFailed, Progress
from benchmarks.pools import kill
from benchmarks.results import Measured, Results, Target, at_least, at_most, ratio

_PATIENCE = 120.0  # seconds for one round
_GIB = 1 << 30


class _Comparison(NamedTuple):
    """A mode of ours, and one of a peer."""

    peer: str
    mode: str
    own: str
    what: str
    target: Target | None = None
    package: str = ""

    @property
    def key(self) -> str:
        return f"{self.own.replace(' ', '_')}_vs_{self.peer}"


_SETUP, _ITEMS, _EXCHANGE = "1 GiB for 8 workers", "200 arrays of 8 MiB over 8 workers", "64 MiB there, 64 MiB back"
_COMPARISONS = (
    _Comparison("ray_store", "setup", "setup", f"{_SETUP}: setup= / Ray's put and gets", at_most(0.9), "ray"),
    _Comparison("joblib_pool", "setup", "setup", f"{_SETUP}: setup= / joblib", at_most(0.6), "joblib"),
    _Comparison("joblib_pool", "setup", "setup shared", f"{_SETUP}: a shared array / joblib", None, "joblib"),
    _Comparison("processes", "items", "items", f"{_ITEMS}: multiprocessing / ordinary arrays", at_least(2)),
    _Comparison("processes", "items", "items shared", f"{_ITEMS}: multiprocessing / shared arrays", at_least(2)),
    _Comparison("joblib_pool", "items", "items", f"{_ITEMS}: joblib / ordinary arrays", at_least(1.5), "joblib"),
    _Comparison("joblib_pool", "items", "items shared", f"{_ITEMS}: joblib / shared arrays", at_least(1.5), "joblib"),
    _Comparison("sockets", "exchange", "exchange ordinary", f"{_EXCHANGE}: blocking sockets / ordinary arrays"),
    _Comparison(
        "sockets", "exchange", "exchange shared", f"{_EXCHANGE}: blocking sockets / shared arrays", at_least(3)
    ),
)


def measure(rounds: int, progress: Progress, smaller: int = 1) -> Results:
    """Compare with Ray, joblib, multiprocessing and blocking sockets, as far as they are installed."""
    results, memory = Results(), dict[str, list[float]]()
    here = [one for one in _COMPARISONS if not one.package or find_spec(one.package)]
    pairs: dict[_Comparison, tuple[list[float], list[float]]] = {one: ([], []) for one in here}
    for turn in range(rounds):
        with ExitStack() as stack:  # a fresh start for each: Ray's store keeps the memory that it has had
            programs = {
                name: _start(stack, name, smaller) for name in ("ours", *dict.fromkeys(one.peer for one in here))
            }
            for one, (ours, theirs) in pairs.items():
                for name, mode, times in (("ours", one.own, ours), (one.peer, one.mode, theirs))[
                    :: -1 if turn % 2 else 1
                ]:
                    seconds, taken = json.loads(programs[name].ask(mode))
                    times.append(seconds)
                    if taken:
                        memory.setdefault(mode, []).append(taken / _GIB)
            for program in programs.values():
                program.close()
        progress(turn + 1, rounds)
    for mode, values in memory.items():
        key, what = f"memory_{mode.replace(' ', '_')}_gib", f"{_SETUP}, {mode}: memory beside the array itself"
        results.figures.append(Measured(key, what, values, "GiB", at_most(0.1 if "shared" in mode else 1.1)))
    for one, (ours, theirs) in pairs.items():
        results.figures.append(Measured(f"{one.key}_s", one.what.partition(" / ")[0], ours, "s"))
        first, second = (ours, theirs) if one.mode == "setup" else (theirs, ours)
        results.ratios.append(ratio(one.key, one.what, first, second, one.target))
    results.left_out += [
        f"{one.key}: {one.package} is not installed; run make bench-pool, or pip install --group bench"
        for one in _COMPARISONS
        if one not in pairs
    ]
    return results


def _start(stack: ExitStack, name: str, smaller: int) -> Program:
    folder = stack.enter_context(TemporaryDirectory(prefix="arrays-"))
    # In memory, where joblib's files are by default; a joblib that is killed leaves them.
    files = stack.enter_context(TemporaryDirectory(prefix="arrays-", dir="/dev/shm"))
    program = Program(
        "-m",
        f"benchmarks.peers.arrays.{name}",
        patience=_PATIENCE,
        PARCS_MODULES=str(ROOT / "benchmarks" / "modules"),
        PARCS_HISTORY="off",
        SMALLER=str(smaller),
        JOBLIB_TEMP_FOLDER=files,
        RAY_USAGE_STATS_ENABLED="0",
        TMPDIR=folder,
    )
    stack.callback(kill, program)
    if program.line() != "ready":
        raise ProgramFailed(f"{name} did not get ready")
    return program
