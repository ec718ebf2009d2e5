"""A few ratios that take a minute, and whether they have moved."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from benchmarks import calls, rate, round_trip, spawn
from benchmarks.harness import Contender
from benchmarks.harness import compare as compare_pairs
from benchmarks.items import journal_ratio
from benchmarks.performance.records import Figure
from benchmarks.results import Measured, at_least, ratio

ROUNDS = 8
"""Rounds of each ratio, the fewest whose interval is not the whole range."""

_SPAWNS = 6  # rounds of two seconds
_JOURNALED = 100_000  # calls
_CALLS = 10_000
_SHARED, _BYTES = (Contender(f"echoes.{name}", str(64 << 20), 2, 1) for name in ("ours_shared", "ours"))


def measure(rounds: int, report: Callable[[str], None]) -> list[Figure]:
    """Measure the ratios, each in pairs of adjacent rounds."""
    found: list[Figure] = []
    benchmarks: Sequence[Callable[[], Measured]] = (
        lambda: round_trip.measure(rounds, _silent, ("protocol",)).ratios[0],
        lambda: rate.measure(rounds, _silent).ratios[0],
        lambda: calls.against_processes(rounds, _CALLS),
        lambda: spawn.against_fork_server(min(rounds, _SPAWNS)),
        lambda: _shared(rounds),
        lambda: journal_ratio(rounds, lambda: None, _JOURNALED),
    )
    for benchmark in benchmarks:
        measured = benchmark()
        found.append(Figure.of(measured))
        report(f"{measured.what}: {measured.median:.3g}")
    return found


def _shared(rounds: int) -> Measured:
    shared, ordinary = compare_pairs(_SHARED, _BYTES, rounds, _silent)
    what = "64 MiB there and back, bytes / shared arrays"
    return ratio("round_trip_bytes_vs_shared", what, ordinary, shared, at_least(3))


class Change(NamedTuple):
    """
    A ratio of today beside the one before.

    Attributes:
        now: today's.
        before: None if there was none.
        verdict: "better" or "worse" if it has moved by more than the noise of both; else "same", or "new".
    """

    now: Figure
    before: Figure | None
    verdict: str


def compare(now: Sequence[Figure], before: Sequence[Figure]) -> list[Change]:
    """Compare ratios with those before: one has moved if the intervals of both medians have no value in common."""
    known = {figure.key: figure for figure in before}
    return [Change(figure, known.get(figure.key), _verdict(figure, known.get(figure.key))) for figure in now]


def _verdict(now: Figure, before: Figure | None) -> str:
    if before is None:
        return "new"
    mine, theirs = now.value.interval, before.value.interval
    if mine is None or theirs is None or (mine[0] <= theirs[1] and theirs[0] <= mine[1]):
        return "same"
    is_more = now.value.median > before.value.median
    return "moved" if now.more_is_better is None else "better" if is_more is now.more_is_better else "worse"


def _silent(done: int, total: int) -> None:
    """Show nothing: the next ratio is near."""
