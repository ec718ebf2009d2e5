"""
A runner with 10,000 workers that a few processes simulate, and one with 1,000 real workers of this machine.

What the runner does is real in both: the handshakes, the channels, the state of workers and launchers. See
`benchmarks.simulation` for what is simulated.
"""

from __future__ import annotations

import json

from benchmarks.harness import ROOT, Program, Progress
from benchmarks.results import Measured, Results, Target, at_most

_SIMULATED, _PROCESSES, _PER_LAUNCHER = 10_000, 4, 20
_REAL = 1000
_ROUNDS = 5
_PATIENCE = 400.0  # seconds for one measurement
# The key of each figure, what it is, its unit and its target.
_FIGURES: tuple[tuple[str, str, str, Target | None], ...] = (
    ("connect_s", "10,000 simulated workers connect", "s", at_most(20)),
    ("connect_us", "... CPU time of the runner for each", "µs", None),
    ("idle_kib", "... memory of the runner for each that is idle", "KiB", at_most(20)),
    ("gather_s", "... a message to each, and gather", "s", at_most(1.5)),
    ("gather_us", "... CPU time of the runner for each", "µs", None),
    ("beside_slow_s", "... the same beside one that reads nothing", "s", at_most(1.5)),
    ("large_mib", "... held of 1,000 MiB that arrive at once, budget 64 MiB", "MiB", at_most(65)),
    ("idle_us", "... CPU time of the runner in 5 idle seconds, for all", "µs", None),
    ("end_s", "... all end", "s", at_most(10)),
    ("end_us", "... CPU time of the runner for each", "µs", None),
)
_REAL_FIGURES: tuple[tuple[str, str, str, Target | None], ...] = (
    ("connect_s", "1,000 local workers connect", "s", None),
    ("ask_s", "... answer", "s", None),
    ("end_s", "... end", "s", None),
    ("all_s", "... start, answer and end", "s", at_most(4)),
    ("runner_us", "... CPU time of the runner for each", "µs", None),
    ("workers_us", "... CPU time of each worker, its fork included", "µs", None),
    ("faults", "... page faults of each worker", "", None),
)


def measure(
    rounds: int,
    progress: Progress,
    *,
    simulated: int = _SIMULATED,
    real: int = _REAL,
    per_launcher: int = _PER_LAUNCHER,
) -> Results:
    """Measure both, in turn."""
    rounds = min(rounds, _ROUNDS)
    many: list[dict[str, float]] = []
    local: list[dict[str, float]] = []
    for turn in range(rounds):
        many.append(_run("simulated", simulated, _PROCESSES, per_launcher))
        local.append(_run("local_workers", real))
        progress(turn + 1, rounds)
    return Results([*_figures("simulated", _FIGURES, many), *_figures("local", _REAL_FIGURES, local)])


def _figures(
    name: str, figures: tuple[tuple[str, str, str, Target | None], ...], taken: list[dict[str, float]]
) -> list[Measured]:
    return [
        Measured(f"{name}_{key}", what, [one[key] for one in taken], unit, target)
        for key, what, unit, target in figures
    ]


def _run(peer: str, *numbers: int) -> dict[str, float]:
    modules = str(ROOT / "benchmarks" / "modules")
    program = Program("-m", f"benchmarks.peers.{peer}", *map(str, numbers), patience=_PATIENCE, PARCS_MODULES=modules)
    taken: dict[str, float] = json.loads(program.line())
    program.close()
    return taken
