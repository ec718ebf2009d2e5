"""The lines of a job: what its workers have printed, and notices; the last ones are kept."""

from __future__ import annotations

from collections import deque
from typing import Any

from aioparcs.monitor.records import Calls, rounded

__all__ = ["LINES", "NOTICE", "OUTPUT", "WARNING", "Output"]

LINES = 2000  # lines that are kept
OUTPUT, NOTICE, WARNING = 0, 1, 2  # levels
_LONGEST = 4000  # characters of a line that are kept


class Output:
    """
    The last lines of a job.

    Attributes:
        seen: how many there were in all.
    """

    def __init__(self) -> None:
        self.seen = 0
        self._lines: deque[list[Any]] = deque(maxlen=LINES)

    def add(self, time: float, module: str, worker: int | None, text: str, level: int = OUTPUT) -> None:
        """Add a line of a worker, or of something else with a name."""
        if len(text) > _LONGEST:
            text = f"{text[:_LONGEST]}… ({len(text):,} characters)"
        self._lines.append([self.seen, rounded(time), module, worker, text, level])
        self.seen += 1

    def rows(self, seen: int = 0) -> Calls:
        """Return the rows of lines that came after the first ones, as far as they are kept."""
        new = self.seen - seen
        if new <= 0:
            return []
        return [list(row) for row in self._lines][-new:]

    def rows_of(self, worker: int, most: int) -> Calls:
        """Return the rows of the last lines of a worker."""
        return [list(row) for row in self._lines if row[3] == worker][-most:]
