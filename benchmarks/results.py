"""The results of a benchmark: figures, and ratios of pairs of them, as medians with their quartiles."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

_OUTSIDE = 0.025  # the probability that a median is below its interval, and that it is above


@dataclass(frozen=True)
class Target:
    """What a value should be: at least, or at most."""

    bound: float
    at_least: bool

    def met(self, value: float) -> bool:
        """Return whether a value is good enough."""
        return value >= self.bound if self.at_least else value <= self.bound

    def __str__(self) -> str:
        return f"{'≥' if self.at_least else '≤'} {self.bound:g}"


def at_least(bound: float) -> Target:
    """Ask for ``bound`` or more."""
    return Target(bound, True)


def at_most(bound: float) -> Target:
    """Ask for ``bound`` or less."""
    return Target(bound, False)


@dataclass(frozen=True)
class Measured:
    """
    One value that was measured many times.

    Attributes:
        key: its name in the JSON.
        what: a phrase for the reader.
        values: one of each round.
        unit: of the values, "" for a ratio.
        target: what its median should be, if that is said.
    """

    key: str
    what: str
    values: Sequence[float]
    unit: str = ""
    target: Target | None = None

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def quartiles(self) -> tuple[float, float]:
        """The first and the third; both are the value itself if there is only one."""
        if len(self.values) < 2:
            return self.values[0], self.values[0]
        low, _, high = statistics.quantiles(self.values, n=4, method="inclusive")
        return low, high

    @property
    def interval(self) -> tuple[float, float] | None:
        """Where the median of many more such values is, with a probability of 95 %; None of too few."""
        count, rank, outside = len(self.values), 0, 0.0
        # The number of values below that median is like that of heads in as many throws of a coin.
        while (outside := outside + math.comb(count, rank) / 2**count) <= _OUTSIDE:
            rank += 1
        ordered = sorted(self.values)
        return (ordered[rank - 1], ordered[-rank]) if rank else None

    @property
    def met(self) -> bool | None:
        return None if self.target is None else self.target.met(self.median)


@dataclass
class Results:
    """
    Figures and ratios, in the order in which they are shown.

    Attributes:
        figures: values in units of their own.
        ratios: what is compared.
        left_out: what was not measured, and why and what to do, a line each.
    """

    figures: list[Measured] = field(default_factory=list)
    ratios: list[Measured] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    def add(self, other: Results) -> None:
        """Append another benchmark's."""
        self.figures += other.figures
        self.ratios += other.ratios
        self.left_out += other.left_out


def ratio(key: str, what: str, over: Sequence[float], under: Sequence[float], target: Target | None) -> Measured:
    """Divide the two values of each pair."""
    return Measured(key, what, [a / b for a, b in zip(over, under, strict=True)], "", target)
