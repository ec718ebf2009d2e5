"""
200 calls that wait for 10 ms, over 50 workers that are up: how well a pool keeps its workers busy.

At best each worker has four of them, one right after the other: 40 ms. The ratio is time over that: less is better.
"""

from __future__ import annotations

from benchmarks.harness import Progress
from benchmarks.pools import PoolMode, take_turns
from benchmarks.results import Measured, Results, at_most

_WORKERS, _CALLS, _WAIT = 50, 200, 0.010  # seconds, as in benchmarks.peers.calls
_IDEAL = _WAIT * _CALLS / _WORKERS
_OURS, _PROCESSES = PoolMode("ours", "pause"), PoolMode("processes", "pause")


def measure(rounds: int, progress: Progress) -> Results:
    """Time a pool's, and multiprocessing's beside it."""
    done = 0

    def step() -> None:
        nonlocal done
        done += 1
        progress(done, rounds)

    taken = take_turns((_OURS, _PROCESSES), _WORKERS, _CALLS, rounds, step)
    results = Results()
    for pool_mode, key, what, target in (
        (_OURS, "makespan", "200 calls of 10 ms, 50 workers", at_most(1.3)),
        (_PROCESSES, "makespan_multiprocessing", "... multiprocessing", None),
    ):
        seconds = taken[pool_mode].seconds
        results.figures.append(Measured(f"{key}_ms", what, [1000 * value for value in seconds], "ms"))
        over = [value / _IDEAL for value in seconds]
        results.ratios.append(Measured(f"{key}_vs_ideal", f"{what} / ideal", over, "", target))
    return results
