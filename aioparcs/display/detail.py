"""The choices of what displays show: how much, and by which clock."""

from __future__ import annotations

from enum import IntEnum
from time import monotonic

__all__ = ["Clock", "Detail"]


class Detail(IntEnum):
    """The amount of text that a display prints."""

    QUIET = -1
    NORMAL = 0
    VERBOSE = 1


class Clock:
    """The clock that stamps the events of this process."""

    def now(self) -> float:
        """Return the present time, in seconds."""
        return monotonic()
