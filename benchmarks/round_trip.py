"""
A small message there and back, one at a time, between two processes with a core each.

The ratios are time over time: less is better. The last comparison puts both processes on one core: the kernel's
waking of another core, most of a round trip's time, is gone from it, and what is left is the work of both sides.
"""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.harness import Contender, Progress, compare
from benchmarks.results import Measured, Results, at_most, ratio

_OURS = Contender("ours.small", "echo", 2000, 500)
_PROTOCOL = Contender("protocol", "echo", 2000, 500)
_SOCKETS = Contender("sockets", "echo", 2000, 500)
# The key of each comparison, its peer, what the peer is called, whether both processes share a core, and the target.
_COMPARISONS = (
    ("protocol", _PROTOCOL, "a bare asyncio.Protocol", False, at_most(1.3)),
    ("socket", _SOCKETS, "blocking sockets", False, None),
    ("protocol_one_core", _PROTOCOL, "a bare asyncio.Protocol, one core", True, None),
)
_KEYS = tuple(key for key, *_ in _COMPARISONS)


def measure(rounds: int, progress: Progress, keys: Sequence[str] = _KEYS) -> Results:
    """Compare with a bare protocol and with blocking sockets."""
    results = Results()
    for key, peer, name, one_core, target in _COMPARISONS:
        if key not in keys:
            continue
        ours, theirs = compare(_OURS, peer, rounds, progress, one_core=one_core)
        if not results.figures:
            results.figures.append(_figure("round_trip_us", "round trip", ours))
        results.figures.append(_figure(f"round_trip_{key}_us", f"round trip, {name}", theirs))
        results.ratios.append(ratio(f"round_trip_vs_{key}", f"round trip / {name}", ours, theirs, target))
    return results


def _figure(key: str, what: str, seconds: list[float]) -> Measured:
    return Measured(key, what, [1e6 * second for second in seconds], "µs")
