"""
Messages of 64 MiB one way, as ``bytes`` and as arrays, into fresh memory each.

The ratios are throughput over throughput: more is better.
"""

from __future__ import annotations

from benchmarks.harness import Contender, Progress, compare
from benchmarks.results import Measured, Results, at_least, ratio

_COUNT = 4
_MIB = 64  # of one message
_TARGETS = {"bytes": at_least(0.8), "array": at_least(1.0)}


def measure(rounds: int, progress: Progress) -> Results:
    """Compare with blocking sockets."""
    results = Results()
    for mode, target in _TARGETS.items():
        ours, theirs = compare(
            Contender("ours.large", mode, _COUNT, 2),
            Contender("raw_sockets", mode, _COUNT, 2),
            rounds,
            progress,
        )
        name = "bytes" if mode == "bytes" else "arrays"
        results.figures.append(_figure(f"bulk_{mode}_mib_s", f"64 MiB {name}", ours))
        results.figures.append(_figure(f"bulk_{mode}_socket_mib_s", f"64 MiB {name}, blocking sockets", theirs))
        results.ratios.append(
            ratio(f"bulk_{mode}_vs_socket", f"64 MiB {name} / blocking sockets", theirs, ours, target)
        )
    return results


def _figure(key: str, what: str, seconds: list[float]) -> Measured:
    return Measured(key, what, [_MIB / second for second in seconds], "MiB/s")
