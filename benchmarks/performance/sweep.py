"""Measure series at place after place of a plot, each series as far as its budget goes."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import NamedTuple

from benchmarks.harness import ProgramFailed
from benchmarks.performance.records import Point, Summary

_SHARE = 0.5  # of the memory that is free, which a round may take
# Rounds of a place, by the seconds that the first one takes at most.
_ROUNDS = ((1.0, 5), (2.0, 3))


class Taken(NamedTuple):
    """A round: its seconds, by plot, and the memory in GiB that it held, 0 if that doesn't matter."""

    seconds: dict[str, float]
    gib: float = 0.0


Begin = Callable[[int], AbstractContextManager[Callable[[], Taken]]]
"""Brings all up for a place, checks that it works, and gives a function that runs a timed round."""


@dataclass
class Series:
    """
    A series of a plot.

    Attributes:
        name: its key in the JSON.
        begin: see `Begin`.
        package: what it imports, "" for nothing.
        program: what it runs, "" for nothing.
        most: the last place that it can do, None if it can do all.
        reason: why it can't do more.
        stopped: whether it is over.
        done: each place before, the seconds of its longest round, and the memory of the largest.
    """

    name: str
    begin: Begin
    package: str = ""
    program: str = ""
    most: int | None = None
    reason: str = ""
    stopped: bool = False
    done: list[tuple[int, float, float]] = field(default_factory=list)

    @property
    def missing(self) -> str:
        """Why this machine can't run it, and what to do; "" if it can."""
        if self.package and find_spec(self.package) is None:
            return f"{self.name}: {self.package} is not installed; make bench-all installs it"
        if self.program and shutil.which(self.program) is None:
            return f"{self.name}: there is no {self.program}; on Debian: apt-get install {_DEBIAN[self.program]}"
        return ""


class Sweep(NamedTuple):
    """
    A part that has plots.

    Attributes:
        series: what is measured.
        ats: where.
        grows: the plot whose time is expected to grow as the places do.
        budget: seconds that a round may take: one that would take longer, by the place before it, stops its series.
    """

    series: Sequence[Series]
    ats: Sequence[int]
    grows: str
    budget: float


_DEBIAN = {"mpirun": "openmpi-bin", "nats-server": "nats-server"}


def sweep(plan: Sweep, free_gib: Callable[[], float], report: Callable[[str], None]) -> tuple[list[Point], list[str]]:
    """
    Measure all series at the first place, then at the next.

    Args:
        plan: what to measure; what is missing here is left out.
        free_gib: returns the memory that is free.
        report: called with a line for people after each place.

    Returns:
        The points, and what was left out.
    """
    points: list[Point] = []
    left_out = [one.missing for one in plan.series if one.missing]
    here = [one for one in plan.series if not one.missing]
    for at in plan.ats:
        for one in here:
            if not one.stopped:
                found = _measure(one, at, plan, free_gib)
                points += found
                report(", ".join(_line(point) for point in found))
    return points, left_out


def _measure(series: Series, at: int, plan: Sweep, free_gib: Callable[[], float]) -> list[Point]:
    if stopped := _too_much(series, at, plan.budget, free_gib):
        return _stop(series, at, plan.grows, stopped)
    try:
        taken = _rounds(series, at)
    except ProgramFailed as error:
        return _stop(series, at, plan.grows, str(error))
    values = {plot: [one.seconds[plot] for one in taken] for plot in taken[0].seconds}
    points = [Point(plot, series.name, at, Summary.of(seconds)) for plot, seconds in values.items()]
    series.done.append((at, max(values[plan.grows]), max(one.gib for one in taken)))
    return points


def _stop(series: Series, at: int, grows: str, reason: str) -> list[Point]:
    series.stopped = True
    return [Point(grows, series.name, at, None, reason)]


def _too_much(series: Series, at: int, budget: float, free_gib: Callable[[], float]) -> str:
    """Return why a place is not tried, "" if it is."""
    if series.most is not None and at > series.most:
        return series.reason
    if len(series.done) < 2:
        return ""
    (before, least, little), (last, most, much) = series.done[-2:]
    growth = (at - last) / (last - before)  # of what is added to a part that is the same everywhere
    if (seconds := most + growth * (most - least)) > budget:
        return f"would take {seconds:,.0f} s"
    if (gib := much + growth * (much - little)) > _SHARE * free_gib():
        return f"would take {gib:.0f} GiB of memory"
    return ""


def _rounds(series: Series, at: int) -> list[Taken]:
    with series.begin(at) as run:
        start = time.monotonic()
        taken = [run()]
        seconds = time.monotonic() - start
        count = next((count for most, count in _ROUNDS if seconds <= most), 1)
        return taken + [run() for _ in range(count - 1)]


def _line(point: Point) -> str:
    found = f"{point.seconds.median:.3g} s" if point.seconds else f"stopped: {point.stopped}"
    return f"{point.plot} {point.series} {point.at:,}: {found}"
