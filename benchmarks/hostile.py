"""
A runner whose listener is attacked by 500 connections at once: what that costs the messages of its 100 workers.

All of them share the cores of this machine, so the attacker takes time from the workers, too. In life it has machines
of its own.
"""

from __future__ import annotations

import json

from benchmarks.harness import ROOT, Program, Progress
from benchmarks.results import Measured, Results, at_most

_WORKERS, _CONNECTIONS, _SECONDS = 100, 500, 4.0
_ROUNDS = 5
_PATIENCE = 120.0  # seconds for one measurement
# The key of each figure, what it is, its unit, and what it should be at most.
_FIGURES: tuple[tuple[str, str, str, float | None], ...] = (
    ("calm_ms", "round trip of 100 workers, calm", "ms", None),
    ("attacked_ms", "... while 500 connections attack", "ms", None),
    ("attacked_p99_ms", "... 99 % of them", "ms", None),
    ("calm_cpu", "... CPU time of the runner in a second, calm", "s", None),
    ("attacked_cpu", "... CPU time of the runner in a second, attacked", "s", None),
    ("refused_per_s", "... connections refused a second", "", None),
    ("made", "... connections made", "", None),
    ("let_in", "... let in", "", 0),
    ("grown_mib", "... memory grown while attacked", "MiB", 2),
    ("descriptors", "... descriptors left", "", 0),
)


def measure(
    rounds: int,
    progress: Progress,
    *,
    workers: int = _WORKERS,
    connections: int = _CONNECTIONS,
    seconds: float = _SECONDS,
) -> Results:
    """Measure rounds, each with a fresh runner."""
    rounds = min(rounds, _ROUNDS)
    taken: list[dict[str, float]] = []
    for turn in range(rounds):
        taken.append(_run(workers, connections, seconds))
        progress(turn + 1, rounds)
    figures = [
        Measured(f"hostile_{key}", what, [one[key] for one in taken], unit, None if most is None else at_most(most))
        for key, what, unit, most in _FIGURES
    ]
    ratios = [one["attacked_ms"] / one["calm_ms"] for one in taken]
    return Results(figures, [Measured("hostile_vs_calm", "round trip, attacked / calm", ratios, "", at_most(3))])


def _run(workers: int, connections: int, seconds: float) -> dict[str, float]:
    modules = str(ROOT / "benchmarks" / "modules")
    arguments = "-m", "benchmarks.peers.attacked", str(workers), str(connections), str(seconds)
    program = Program(*arguments, patience=_PATIENCE, PARCS_MODULES=modules)
    taken: dict[str, float] = json.loads(program.line())
    program.close()
    return taken
