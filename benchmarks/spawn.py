"""
200 workers of one module, from nothing to the answer of the last.

Every measurement is a program of its own and all of it is cold, on either side: the start of the launcher, or of the
fork server, and its imports count. The ratios are time over time: less is better.
"""

from __future__ import annotations

import json
import time

from benchmarks.harness import ROOT, Program, Progress, take_turns
from benchmarks.results import Measured, Results, at_most, ratio

_COUNT = 200
_BUDGET = 130.0  # seconds for all rounds, unless there are fewer than _LEAST by then
_LEAST = 5
_FORKSERVER = f"from benchmarks.peers.forkserver import measure; print([measure({_COUNT})])"


class _Times:
    """What one comparison gave."""

    def __init__(self, how: str) -> None:
        self.ours: list[float] = []
        self.peer: list[float] = []
        self.unique: list[float] = []
        self._how = how

    def take_turns(self, turn: int) -> None:
        """Measure one pair."""
        ours, peer = take_turns(turn, self._start_workers, self._start_processes)
        self.ours.append(ours)
        self.peer.append(peer)

    def _start_workers(self) -> float:
        seconds, unique = _run("-m", "benchmarks.peers.workers", self._how, str(_COUNT))
        self.unique.append(unique)
        return seconds

    def _start_processes(self) -> float:
        return _run("-c", _FORKSERVER)[0]


def measure(rounds: int, progress: Progress) -> Results:
    """Compare ``start_many``, and a ``gather`` of ``start``, with multiprocessing's fork server."""
    many, gather = _Times("many"), _Times("gather")
    start = time.monotonic()
    for turn in range(rounds):
        many.take_turns(turn)
        gather.take_turns(turn)
        progress(turn + 1, rounds)
        if turn + 1 >= _LEAST and time.monotonic() - start > _BUDGET:
            break
    return Results(
        [
            Measured("spawn_200_s", "200 workers, start_many", many.ours, "s"),
            Measured("spawn_200_gather_s", "200 workers, gather of start", gather.ours, "s"),
            Measured("spawn_200_forkserver_s", "200 processes, fork server", many.peer + gather.peer, "s"),
            Measured("unique_mib_per_worker", "memory of one worker alone", many.unique, "MiB", at_most(5)),
        ],
        [
            ratio("spawn_200_vs_forkserver", "200 workers / fork server", many.ours, many.peer, at_most(0.7)),
            ratio(
                "spawn_200_gather_vs_forkserver",
                "200 workers by gather / fork server",
                gather.ours,
                gather.peer,
                None,
            ),
        ],
    )


def _run(*command: str) -> list[float]:
    program = Program(*command, PARCS_MODULES=str(ROOT / "benchmarks" / "modules"))
    answer: list[float] = json.loads(program.line())
    program.close()
    return answer
