"""The counts of short calls that a worker has answered, for a trace that looks at them now and then."""

from __future__ import annotations

__all__ = ["Tally"]


class Tally:
    """
    The short calls of one function that a worker has answered since a trace has looked.

    They are counted where its state changes anyway: a trace that is called for each answer costs much more.

    Attributes:
        is_on: whether calls are counted.
        function: the name of the function whose calls are.
        short: seconds below which calls count, on average of those whose results come together; and below which a time
            without calls may be between them.
        calls: how many there were.
        busy: the seconds that they took together.
        begin: when the first of them began.
        end: when the last of them had its result.
        results: how many of the results that have just come are of such calls, 0 if others came with them.
        has_last: whether the last results were counted.
    """

    __slots__ = ("begin", "busy", "calls", "end", "function", "has_last", "is_on", "results", "short")

    def __init__(self) -> None:
        self.is_on = False
        self.function = ""
        self.calls = self.results = 0
        self.short = self.busy = self.begin = self.end = 0.0
        self.has_last = False

    def add(self, count: int, begin: float, end: float) -> None:
        """Count results that have come together, if all of them are of such calls, and took a short time."""
        self.has_last = (
            self.results == count
            and end - begin < self.short * count
            and (not self.calls or begin - self.end < self.short)
        )
        if self.has_last:
            if not self.calls:
                self.begin, self.busy = begin, 0.0
            self.calls += count
            self.busy += end - begin
            self.end = end
