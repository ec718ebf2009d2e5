"""Peak memory of receiving an array of 256 MiB, beyond the array: less is better, 0 is no copy at all."""

from __future__ import annotations

from benchmarks.harness import Contender, Pair, Progress
from benchmarks.results import Measured, Results, at_most

_OURS = Contender("ours.memory", "memory", 1, 1)
_MOST = 7  # fresh receivers: the figure hardly varies


def measure(rounds: int, progress: Progress) -> Results:
    """Measure fresh receivers."""
    rounds = min(rounds, _MOST)
    extra = []
    for done in range(1, rounds + 1):
        with Pair(_OURS) as pair:
            extra.append(pair.check())
        progress(done, rounds)
    what = "receiver's peak beyond 256 MiB"
    return Results([Measured("receiver_extra_mib", what, extra, "MiB", at_most(16))])
