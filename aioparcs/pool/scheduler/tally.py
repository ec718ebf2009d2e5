"""The counts of short calls that a worker has answered, for a trace that looks at them now and then."""

from __future__ import annotations

__all__ = ["Tally"]


class Tally:
    """
    The short calls of one function that a worker has answered since a trace has looked.

    Its `WorkerState` counts them where it changes anyway: a trace that is called for each answer costs much more.

    Attributes:
        function: the name of the function whose calls are counted, None for no calls.
        short: seconds below which calls count, on average of those whose results come together; and below which a time
            without calls may be between them.
        calls: how many there were.
        busy: the seconds that they took together.
        begin: when the first of them began.
        end: when the last of them had its result.
        has_last: whether the results that have come last were counted.
    """

    __slots__ = ("begin", "busy", "calls", "end", "function", "has_last", "short")

    def __init__(self) -> None:
        self.function: str | None = None
        self.calls = 0
        self.short = self.busy = self.begin = self.end = 0.0
        self.has_last = False
