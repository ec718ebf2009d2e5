"""Refused connections: counted, and logged in few lines, however many there are."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

__all__ = ["Refusals"]

# Lines that are logged at once; what comes after them is summed up, one line for so many seconds.
_AT_ONCE, _PERIOD = 5, 10.0


class Refusals:
    """
    Counts refused connections.

    Args:
        report: called with each line.

    Attributes:
        count: how many there were.
    """

    def __init__(self, report: Callable[[str], object]) -> None:
        self.count = 0
        self._report = report
        self._at_once = 0  # lines since there was a period without any
        self._unreported = 0
        self._last = ""
        self._timer: asyncio.TimerHandle | None = None

    def add(self, reason: str) -> None:
        """Count one, and log it now or later."""
        self.count += 1
        if self._at_once < _AT_ONCE:
            self._at_once += 1
            self._report(f"refused a connection ({self.count:,} so far): {reason}")
        else:
            self._unreported += 1
            self._last = reason
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_PERIOD, self._sum_up)

    def close(self) -> None:
        """Log those that were not logged yet."""
        if self._timer:
            self._timer.cancel()
            self._timer = None
        self._report_rest()

    def _sum_up(self) -> None:
        self._timer = None
        if not self._unreported:
            self._at_once = 0
            return
        self._report_rest()
        self._timer = asyncio.get_running_loop().call_later(_PERIOD, self._sum_up)

    def _report_rest(self) -> None:
        count, self._unreported = self._unreported, 0
        if count:
            connections = "connection" if count == 1 else "connections"
            self._report(f"refused {count:,} more {connections} ({self.count:,} so far); the last one: {self._last}")
