"""The course of a job: its numbers in each second, or in each of some longer steps of a long job."""

from __future__ import annotations

from typing import NamedTuple

from aioparcs.monitor.records import Calls, rounded

__all__ = ["Course", "Level"]

_MOST = 600  # steps that are kept


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
    """

    def __init__(self) -> None:
        self.merged = 0
        self.step = 1.0
        self._rows: list[list[float]] = []  # sums of each step's numbers, see `Message.series`
        self._next = 1.0
        self._sums = [0.0] * 4  # calls, failed ones, messages and bytes since the last step

    def __len__(self) -> int:
        """Return the number of steps."""
        return len(self._rows)

    def count(self, calls: int = 0, failed: int = 0, messages: int = 0, size: int = 0) -> None:
        """Add calls and messages to the present step."""
        for place, number in enumerate((calls, failed, messages, size)):
            self._sums[place] += number

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
        """Add the last step, which is a shorter one."""
        begun = self._next - self.step
        if now > begun:
            self._add(now, now - begun, level)

    def rows(self, first: int = 0) -> Calls:
        """Return the rows of steps, from one on."""
        return [[rounded(number) for number in row] for row in self._rows[first:]]

    def _add(self, now: float, seconds: float, level: Level) -> None:
        calls, failed, *traffic = (number / seconds for number in self._sums)
        self._rows.append([now, level.up, level.calling, calls, failed, level.items, *traffic])
        self._sums = [0.0] * 4

    def _merge(self) -> None:
        pairs = zip(self._rows[::2], self._rows[1::2], strict=True)
        self._rows = [_joined(first, second) for first, second in pairs]
        self.step *= 2
        self.merged += 1


def _joined(first: list[float], second: list[float]) -> list[float]:
    """Return two steps as one: numbers on average, but time and items as they were at the end."""
    row = [(one + other) / 2 for one, other in zip(first, second, strict=True)]
    row[0], row[5] = second[0], second[5]
    return row
