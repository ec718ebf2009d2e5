"""
The estimate of a rate and of the time left, from the last seconds of growth.

No clock is read here: callers pass the time.
"""

from __future__ import annotations

from collections import deque

__all__ = ["RateEstimator", "duration", "frequency"]

_WINDOW = 5.0  # the least seconds that an estimate is made from
_MARKS = 50  # moments that are kept of such a time
_OVERDUE = 2.0  # seconds of silence that any estimate outlasts


class RateEstimator:
    """
    The estimate of how fast a number grows.

    It covers the last seconds, or as many as it takes to include ``least`` of growth: growth in bursts has an even
    rate, too. Silence counts only once it is longer than all the time that is covered.

    Args:
        now: the time, in seconds.
        value: the number at that time.
    """

    __slots__ = ("_last", "_marks")

    def __init__(self, now: float, value: float) -> None:
        self._marks = deque([(now, value)])
        self._last = (now, value)

    def reach(self, now: float, value: float, least: float) -> None:
        """Record the number; if it has shrunk, forget what was recorded before."""
        if value == self._last[1]:
            return
        if value < self._last[1]:
            self._marks = deque([(now, value)])
            self._last = (now, value)
            return
        marks = self._marks  # never empty: another thread may ask for the rate
        # A mark is made before a pause, not after it: then a burst counts with the pause that led to it.
        if self._last[0] - marks[-1][0] >= max(_WINDOW, now - marks[0][0]) / _MARKS:
            marks.append(self._last)
        self._last = (now, value)
        while len(marks) > 1 and marks[1][0] <= now - _WINDOW and marks[1][1] <= value - least:
            marks.popleft()

    def rate(self, now: float) -> float:
        """Return how much it grows in a second."""
        (began, first), (came, last) = self._marks[0], self._last
        seconds = max(came, now - (came - began)) - began
        return max(last - first, 0.0) / seconds if seconds > 0 else 0.0

    def left(self, now: float, total: float) -> float | None:
        """Return the seconds until it will have reached ``total``; None if that is unknown, or is long overdue."""
        rate, (came, last) = self.rate(now), self._last
        if rate <= 0 or last >= total:
            return None
        expected, silence = (total - last) / rate, now - came
        return max(expected - silence, 0.0) if silence <= 2 * expected + _OVERDUE else None


def duration(seconds: float) -> str:
    """Return a time as text, in two figures or so: ``12 s``, ``5 min``, ``3 h 20 min``, ``2 d 4 h``."""
    if seconds < 99.5:
        return f"{max(seconds, 1):.0f} s"
    minutes = round(seconds / 60)
    if minutes < 100:
        return f"{minutes} min"
    hours = round(minutes / 60)
    return f"{minutes // 60} h {minutes % 60} min" if hours < 24 else f"{hours // 24} d {hours % 24} h"


def frequency(rate: float) -> str:
    """Return a rate per second as text: ``1,234/s``, ``2.5/s``, ``4/min``, ``1.5/h``."""
    per, unit = next(((rate * seconds, unit) for seconds, unit in ((1, "s"), (60, "min")) if rate * seconds >= 1),
                     (rate * 3600, "h"))  # fmt: skip
    return f"{per:,.0f}/{unit}" if per >= 9.95 else f"{per:.1f}/{unit}"
