"""
20,000 calls that do nothing, over 8 workers that are up: what a call costs.

Each call is one by itself on every side, with one argument and one answer. The ratios are the other's time over ours:
more is better.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import NamedTuple

from benchmarks.harness import Progress
from benchmarks.pools import PoolMode, Rounds, take_turns
from benchmarks.results import Measured, Results, Target, at_least, ratio

_WORKERS, _CALLS = 8, 20_000
_SLOW = 6  # for one round of those that take seconds there are so many of those that take less than one
_OURS, _CHUNKS = PoolMode("ours"), PoolMode("processes", "chunks")


class _Peer(NamedTuple):
    """What a call is compared with."""

    key: str
    name: str
    pool_mode: PoolMode
    target: Target
    package: str = ""

    @property
    def is_here(self) -> bool:
        return not self.package or find_spec(self.package) is not None


_PROCESSES = _Peer("multiprocessing", "multiprocessing", PoolMode("processes"), at_least(5))
_SLOW_PEERS = (
    _Peer("ray", "Ray", PoolMode("ray_actors"), at_least(10), "ray"),
    _Peer("dask", "Dask", PoolMode("dask_futures"), at_least(10), "distributed"),
)


def measure(rounds: int, progress: Progress, calls: int = _CALLS) -> Results:
    """Compare a pool's calls with multiprocessing's, and with those of Ray and Dask where they are installed."""
    few, done = -(-rounds // _SLOW), 0
    slow = [peer for peer in _SLOW_PEERS if peer.is_here]

    def step() -> None:
        nonlocal done
        done += 1
        progress(done, rounds + few * len(slow))

    taken = take_turns((_PROCESSES.pool_mode, _OURS, _CHUNKS), _WORKERS, calls, rounds, step)
    results = _of_ours(taken, calls)
    results.add(_of_peer(_PROCESSES, taken, calls))
    results.add(_of_chunks(taken, calls))
    for peer in slow:
        results.add(_of_peer(peer, take_turns((_OURS, peer.pool_mode), _WORKERS, calls, few, step), calls))
    results.left_out += [
        f"calls_vs_{peer.key}: {peer.package} is not installed; run make bench-pool, or pip install --group bench"
        for peer in _SLOW_PEERS
        if peer not in slow
    ]
    return results


def against_processes(rounds: int, calls: int) -> Measured:
    """Compare with multiprocessing's alone."""
    taken = take_turns((_PROCESSES.pool_mode, _OURS), _WORKERS, calls, rounds, lambda: None)
    return _of_peer(_PROCESSES, taken, calls).ratios[0]


def _of_ours(taken: Mapping[PoolMode, Rounds], calls: int) -> Results:
    seconds, cpu_seconds = taken[_OURS]
    return Results(
        [
            Measured("call_us", "a call, aioparcs", _each(seconds, calls), "µs"),
            Measured("cpu_us_per_call", "... CPU time, runner and workers", _each(cpu_seconds, calls), "µs"),
        ]
    )


def _of_peer(peer: _Peer, taken: Mapping[PoolMode, Rounds], calls: int) -> Results:
    seconds, cpu_seconds = taken[peer.pool_mode]
    what = f"a call, {peer.name} / aioparcs"
    return Results(
        [
            Measured(f"call_{peer.key}_us", f"a call, {peer.name}", _each(seconds, calls), "µs"),
            Measured(f"cpu_us_per_call_{peer.key}", "... CPU time of all", _each(cpu_seconds, calls), "µs"),
        ],
        [ratio(f"calls_vs_{peer.key}", what, seconds, taken[_OURS].seconds, peer.target)],
    )


def _of_chunks(taken: Mapping[PoolMode, Rounds], calls: int) -> Results:
    seconds = taken[_CHUNKS].seconds
    what = "... in its chunks (map) / aioparcs"
    return Results(
        [Measured("call_multiprocessing_default_us", "... in its chunks (map)", _each(seconds, calls), "µs")],
        [ratio("calls_vs_multiprocessing_default", what, seconds, taken[_OURS].seconds, None)],
    )


def _each(seconds: list[float], calls: int) -> list[float]:
    return [1e6 * value / calls for value in seconds]
