"""The deadlines of many that have the same time to go."""

from __future__ import annotations

import itertools
from collections import OrderedDict

__all__ = ["DeadlineTable"]


class DeadlineTable(OrderedDict[int, float]):
    """
    Deadlines by number, in the order in which they were set: all have the same time to go, so the earliest comes first.

    Each operation takes the same time however many there are. A dict would not do: to find its first entry, it steps
    over all those that were removed.
    """

    @property
    def earliest(self) -> float:
        """The earliest deadline; there has to be one."""
        return next(iter(self.values()))

    def overdue(self, now: float) -> list[int]:
        """Return the numbers whose deadlines have passed."""
        return [number for number, _ in itertools.takewhile(lambda entry: entry[1] <= now, self.items())]
