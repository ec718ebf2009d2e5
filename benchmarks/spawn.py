"""
200 workers of one module, from nothing to the answer of the last.

Every measurement is a program of its own and all of it is cold, on either side: the start of the launcher, or of the
fork server, and its imports count. The ratios are time over time: less is better.
"""

from __future__ import annotations

import json
import time

from benchmarks.harness import ROOT, Program, Progress
from benchmarks.results import Measured, Results, at_most, ratio

_COUNT = 200
_BUDGET = 100.0  # seconds for all rounds, unless there are fewer than _LEAST by then
_LEAST = 5
_FORKSERVER = f"from benchmarks.peers.forkserver import measure; print([measure({_COUNT})])"


def measure(rounds: int, progress: Progress) -> Results:
    """Compare ``start_many``, and a ``gather`` of ``start``, with multiprocessing's fork server."""
    many: list[float] = []
    gather: list[float] = []
    peer: list[float] = []
    unique: list[float] = []
    start = time.monotonic()
    for turn in range(rounds):
        # The fork server stands between the two, next to both; every other round goes backwards.
        first, middle, last = ("many", "peer", "gather")[:: -1 if turn % 2 else 1]
        took = {how: _start(how) for how in (first, middle, last)}
        many.append(took["many"][0])
        unique.append(took["many"][1])
        gather.append(took["gather"][0])
        peer.append(took["peer"][0])
        progress(turn + 1, rounds)
        if turn + 1 >= _LEAST and time.monotonic() - start > _BUDGET:
            break
    return Results(
        [
            Measured("spawn_200_s", "200 workers, start_many", many, "s"),
            Measured("spawn_200_gather_s", "200 workers, gather of start", gather, "s"),
            Measured("spawn_200_forkserver_s", "200 processes, fork server", peer, "s"),
            Measured("unique_mib_per_worker", "memory that one worker alone holds", unique, "MiB", at_most(5)),
        ],
        [
            ratio("spawn_200_vs_forkserver", "200 workers / fork server", many, peer, at_most(0.7)),
            ratio("spawn_200_gather_vs_forkserver", "200 workers by gather / fork server", gather, peer, None),
        ],
    )


def _start(how: str) -> list[float]:
    """Run one measurement: its seconds, and for workers their memory."""
    command = ("-c", _FORKSERVER) if how == "peer" else ("-m", "benchmarks.peers.workers", how, str(_COUNT))
    program = Program(*command, PARCS_MODULES=str(ROOT / "benchmarks" / "modules"))
    answer: list[float] = json.loads(program.line())
    program.close()
    return answer
