"""The window of one worker of a pool: how many calls it should have, from the time between its answers."""

from __future__ import annotations

__all__ = ["CallWindow"]

# Seconds of work that a worker should have in front of it, so that it never waits for the wire, nor for this program
# while that is busy; and how many calls that may be.
_AHEAD, _MOST = 0.005, 128
# What the average of all durations before keeps of its weight with each new one.
_KEPT = 0.8
# Seconds of work before a worker has had all its calls, and the share of these, that its successor gets to start.
_LEAD, _LEAD_SHARE = 0.5, 0.1


class CallWindow:
    """
    The number of calls that a worker should have, those that it runs and those ahead of these.

    Args:
        concurrency: how many calls it runs at once.
        max_calls: how many calls it gets in all, None for any number.

    Attributes:
        size: how many calls it should have.
        pace: seconds between two of its answers, on average.
        rest: how many calls it may still have, with those that it has; None for any number.
    """

    __slots__ = ("_concurrency", "_full", "_lead", "_prefetches", "pace", "rest", "size")

    def __init__(self, concurrency: int, max_calls: int | None) -> None:
        self._concurrency = concurrency
        self._full = concurrency + _MOST
        self._lead = 0 if max_calls is None else int(max_calls * _LEAD_SHARE)
        self._prefetches = True
        self.size = concurrency + 1 if max_calls is None else min(concurrency + 1, max_calls)
        self.pace = 0.0
        self.rest = max_calls

    def is_due(self, held: int) -> bool:
        """Return True when it has had almost all of its calls: it runs the rest until its successor is there."""
        if self.rest is None:
            return False
        left = self.rest - held
        return left <= self._lead and left * self.pace <= _LEAD

    def stop_prefetch(self) -> None:
        """Limit it to the calls that it can begin at once."""
        self._prefetches = False
        self.size = min(self.size, self._concurrency)

    def shrink(self, age: float) -> None:
        """Limit it to the calls that it can begin at once until it answers one, which has run for so many seconds."""
        self.pace = max(self.pace, age)
        self.size = min(self.size, self._concurrency)

    def measure(self, count: int, sample: float) -> None:
        """Record that it has answered calls, each after so many seconds."""
        self.pace = pace = sample + _KEPT**count * (self.pace - sample) if self.pace else sample
        if not self._prefetches:
            self.size = self._concurrency
        elif pace * _MOST <= _AHEAD:
            self.size = self._full
        else:
            self.size = self._concurrency + (int(_AHEAD / pace) or 1)
        if self.rest is not None:
            self.spend(count)

    def spend(self, count: int) -> None:
        """Record that it has had so many of the calls that it may have, if that is limited."""
        if self.rest is not None:
            self.rest -= count
            self.size = min(self.size, self.rest)
