"""
A small message there and back, one at a time: what a message costs in time and in work on both sides.

The ratios are time over time: less is better.
"""

from __future__ import annotations

from benchmarks.harness import Contender, Progress, compare
from benchmarks.results import Measured, Results, at_most, ratio

_OURS = Contender("ours.small", "echo", 2000, 500)
_PEERS = (
    (Contender("protocol", "echo", 2000, 500), "a bare asyncio.Protocol", at_most(1.3)),
    (Contender("sockets", "echo", 2000, 500), "blocking sockets", None),
)


def measure(rounds: int, progress: Progress) -> Results:
    """Compare with a bare protocol and with blocking sockets."""
    results = Results()
    for peer, name, target in _PEERS:
        kind = peer.module.removesuffix("s")
        ours, theirs = compare(_OURS, peer, rounds, progress)
        if not results.figures:
            results.figures.append(_figure("round_trip_us", "round trip", ours))
        results.figures.append(_figure(f"round_trip_{kind}_us", f"round trip, {name}", theirs))
        results.ratios.append(ratio(f"round_trip_vs_{kind}", f"round trip / {name}", ours, theirs, target))
    return results


def _figure(key: str, what: str, seconds: list[float]) -> Measured:
    return Measured(key, what, [1e6 * second for second in seconds], "µs")
