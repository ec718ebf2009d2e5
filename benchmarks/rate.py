"""
Small messages one way, as many as the sender can send and the receiver can decode and look at.

The ratio is messages a second over messages a second: more is better.
"""

from __future__ import annotations

from benchmarks.harness import Contender, Progress, compare
from benchmarks.results import Measured, Results, at_least, ratio

_OURS = Contender("ours.small", "rate", 100_000, 2000)
_PEER = Contender("streams", "rate", 50_000, 2000)


def measure(rounds: int, progress: Progress) -> Results:
    """Compare with asyncio streams."""
    ours, theirs = compare(_OURS, _PEER, rounds, progress)
    return Results(
        [
            _figure("rate_per_s", "small messages one way", ours),
            _figure("rate_streams_per_s", "small messages one way, asyncio streams", theirs),
        ],
        [ratio("rate_vs_streams", "small messages / asyncio streams", theirs, ours, at_least(2.0))],
    )


def _figure(key: str, what: str, seconds: list[float]) -> Measured:
    return Measured(key, what, [1 / second for second in seconds], "/s")
