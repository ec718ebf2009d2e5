"""The rate of a pool: how many calls begin in a time, evenly spaced."""

from __future__ import annotations

import math
import re
from typing import Any

__all__ = ["TokenBucket", "read_rate"]

_UNITS = {"s": 1, "m": 60, "h": 3600}
_TEXT = re.compile(r"\s*(\d+(?:\.\d+)?)\s*/\s*([smh])\s*")
# Seconds whose calls may begin at once, after a time with fewer calls than the rate allows: timers are not more exact.
_BURST = 0.02


def read_rate(rate: Any) -> float:
    """
    Return a rate in calls for each second; given as such, or as text: ``"100/s"``, ``"5000/m"``, ``"10/h"``.

    Raises:
        TypeError: it is neither a number nor text.
        ValueError: it is not above 0, or infinite, or another text.
    """
    if isinstance(rate, str):
        match = _TEXT.fullmatch(rate)
        number = float(match[1]) / _UNITS[match[2]] if match else 0.0
    else:
        try:
            number = float(rate)
        except (TypeError, ValueError):
            raise TypeError(f"rate={rate!r}: {_EXPECTED}") from None
    if not 0 < number < math.inf:
        raise ValueError(f"rate={rate!r}: {_EXPECTED}")
    return number


_EXPECTED = "it must be a number of calls for each second, above 0, or text such as '100/s', '5000/m' or '10/h'"


class TokenBucket:
    """
    Allows so many calls in a time, evenly spaced.

    Args:
        rate: how many for each second. After a pause at most those of 20 ms may begin at once, or else one.
    """

    def __init__(self, rate: float) -> None:
        self._interval = 1 / rate
        self._burst = max(1, int(rate * _BURST))
        self._next = -math.inf  # when the next one may begin, if none is missed

    @property
    def next(self) -> float:
        """When the next call may begin."""
        return self._next

    def available(self, now: float) -> int:
        """Return how many calls may begin now."""
        if now < self._next:
            return 0
        missed = (now - self._next) / self._interval
        return self._burst if missed >= self._burst else 1 + min(int(missed), self._burst - 1)

    def take(self, count: int, now: float) -> None:
        """Record that calls begin."""
        self._next = max(self._next, now - (self._burst - 1) * self._interval) + count * self._interval

    def reserve(self, now: float) -> float:
        """Record that a call begins as soon as it may, and return when that is."""
        begin = max(now, self._next)
        self.take(1, begin)
        return begin
