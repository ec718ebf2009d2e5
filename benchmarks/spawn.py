"""
200 workers of one module, from nothing to the answer of the last.

Every measurement is a program of its own and all of it is cold, on either side: the start of the launcher, or of the
fork server, and its imports count. The ratios are time over time: less is better.
"""

from __future__ import annotations

import json
import time
from functools import partial

from benchmarks.harness import ROOT, Program, Progress, take_turns
from benchmarks.results import Measured, Results, at_most, ratio

_COUNT = 200
_BUDGET = 110.0  # seconds for all rounds, unless there are fewer than _LEAST by then
_LEAST = 5
# In the order of a round, backwards in every other: the fork server stands next to both that are compared with it.
_COMMANDS = {
    "gather": ("-m", "benchmarks.peers.workers", "gather", str(_COUNT)),
    "forkserver": ("-m", "benchmarks.peers.forkserver", str(_COUNT)),
    "many": ("-m", "benchmarks.peers.workers", "many", str(_COUNT)),
}


def measure(rounds: int, progress: Progress) -> Results:
    """Compare ``start_many``, and a ``gather`` of ``start``, with multiprocessing's fork server."""
    times: dict[str, list[float]] = {how: [] for how in _COMMANDS}
    unique: list[float] = []
    start = time.monotonic()
    for turn in range(rounds):
        for how in list(_COMMANDS)[:: -1 if turn % 2 else 1]:
            seconds, *memory = _run(*_COMMANDS[how])
            times[how].append(seconds)
            if how == "many":
                unique += memory
        progress(turn + 1, rounds)
        if turn + 1 >= _LEAST and time.monotonic() - start > _BUDGET:
            break
    return Results(_figures(times, unique), _ratios(times))


def against_fork_server(rounds: int) -> Measured:
    """Compare ``start_many`` alone."""
    many, forkserver = (partial(_run, *_COMMANDS[how]) for how in ("many", "forkserver"))
    pairs = [take_turns(turn, many, forkserver) for turn in range(rounds)]
    return _ratio([ours[0] for ours, _ in pairs], [theirs[0] for _, theirs in pairs])


def _ratio(many: list[float], forkserver: list[float]) -> Measured:
    return ratio("spawn_200_vs_forkserver", "200 workers / fork server", many, forkserver, at_most(0.7))


def _figures(times: dict[str, list[float]], unique: list[float]) -> list[Measured]:
    return [
        Measured("spawn_200_s", "200 workers, start_many", times["many"], "s"),
        Measured("spawn_200_gather_s", "200 workers, gather of start", times["gather"], "s"),
        Measured("spawn_200_forkserver_s", "200 processes, fork server", times["forkserver"], "s"),
        Measured("unique_mib_per_worker", "memory that one worker alone holds", unique, "MiB", at_most(5)),
    ]


def _ratios(times: dict[str, list[float]]) -> list[Measured]:
    many, gather, forkserver = (times[how] for how in ("many", "gather", "forkserver"))
    return [
        _ratio(many, forkserver),
        ratio("spawn_200_gather_vs_forkserver", "200 workers by gather / fork server", gather, forkserver, None),
    ]


def _run(*command: str) -> list[float]:
    """Run one measurement: its seconds, and for workers their memory."""
    program = Program(*command, PARCS_MODULES=str(ROOT / "benchmarks" / "modules"))
    answer: list[float] = json.loads(program.line())
    program.close()
    return answer
