"""The course of a job: its numbers in each second, or in each of some longer steps of a long job."""

from __future__ import annotations

from math import ceil
from typing import NamedTuple

from aioparcs.monitor.records import Calls, rounded

__all__ = ["Course", "Level"]

_MOST = 600  # steps that are kept
_RATES = (3, 4, 6, 7)  # the places in a row of what is counted


class Level(NamedTuple):
    """The numbers of a job at one moment: workers that are up, those in a call, and items that are done."""

    up: int
    calling: int
    items: int


class Course:
    """
    The steps of a job; when they become too many, two of them become one.

    Attributes:
        merged: how often that was.
        step: the seconds of a step.
        sampled: the seconds between two samples of channels.
    """

    def __init__(self) -> None:
        self.merged = 0
        self.step = self.sampled = 1.0
        self._rows: list[list[float]] = []  # sums of each step's numbers, see `Message.series`
        self._next = 1.0
        # Calls, failed ones, messages and bytes of the present step, and of those after it that have some already.
        self._sums = [[0.0] * 4]

    def __len__(self) -> int:
        """Return the number of steps."""
        return len(self._rows)

    def set_rare(self) -> None:
        """Note that samples are as rare as in the log of a runner on a Swarm."""
        self.sampled = 5.0

    def count(
        self, now: float, period: float, calls: int = 0, failed: int = 0, messages: int = 0, size: int = 0
    ) -> None:
        """
        Add calls and messages that were reported now, and happened in the period before.

        They are added to the steps of as long a period from now on: those before are no longer changed.
        """
        begin, end, edge = now, now + period, self._next
        for place in range(ceil((end - edge) / self.step) + 1 if end > edge else 1):
            if place == len(self._sums):
                self._sums.append([0.0] * 4)
            part = (min(end, edge) - begin) / period
            for kind, number in enumerate((calls, failed, messages, size)):
                self._sums[place][kind] += number * part
            begin, edge = edge, edge + self.step

    def is_due(self, now: float) -> bool:
        """Return whether a step has ended."""
        return now >= self._next

    def advance(self, now: float, level: Level) -> None:
        """Add the steps that have ended, in which the numbers of the job were these."""
        while now >= self._next:
            self._add(self._next, self.step, level)
            if len(self._rows) >= _MOST:
                self._merge()
            self._next += self.step

    def end(self, now: float, level: Level) -> None:
        """Extend the last step, or add one if there is none: what is left would be many calls in a short time."""
        begun = self._next - self.step
        if self._rows:
            last = self._rows.pop()
            self._sums.append([last[place] * self.step for place in _RATES])
            begun -= self.step
            self.merged += 1
        self._sums = [_sum_of(self._sums)]
        if now > begun:
            self._add(now, now - begun, level)

    def rows(self, first: int = 0) -> Calls:
        """Return the rows of steps, from one on."""
        return [[rounded(number) for number in row] for row in self._rows[first:]]

    def _add(self, now: float, seconds: float, level: Level) -> None:
        calls, failed, *traffic = (number / seconds for number in self._sums[0])
        self._rows.append([now, level.up, level.calling, calls, failed, level.items, *traffic])
        self._sums = self._sums[1:] or [[0.0] * 4]

    def _merge(self) -> None:
        pairs = zip(self._rows[::2], self._rows[1::2], strict=True)
        self._rows = [_joined(first, second) for first, second in pairs]
        self._sums = [_sum_of(self._sums)]
        self.step *= 2
        self.merged += 1


def _sum_of(sums: list[list[float]]) -> list[float]:
    return [sum(numbers) for numbers in zip(*sums, strict=True)]


def _joined(first: list[float], second: list[float]) -> list[float]:
    """Return two steps as one: numbers on average, but time and items as they were at the end."""
    row = [(one + other) / 2 for one, other in zip(first, second, strict=True)]
    row[0], row[5] = second[0], second[5]
    return row
