"""The record of what happens in a history, in its order."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from typing import Any, NamedTuple

from tests.simulation.loop import clock

__all__ = ["Event", "History"]


class Event(NamedTuple):
    """
    One thing that has happened.

    Attributes:
        time: when.
        kind: ``invoke``, ``ok``, ``fail``, ``begin`` (in a worker), ``fault`` or ``info``.
        what: which item, or worker, or fault.
        value: its result, its error, or what else is known.
    """

    time: float
    kind: str
    what: Any
    value: Any = None

    def __str__(self) -> str:
        return f"{self.time - 1000:10.4f} {self.kind:7} {self.what} {self.value if self.value is not None else ''}"


class History:
    """
    The events of one history.

    Attributes:
        events: all of them.
        begun: by item, the workers that have begun it.
        finished: by item, the workers whose result of it is safe, whatever becomes of them.
        outcomes: by item, its results and errors.
        invoked: how many items the program has had made.
        failures: what has failed besides the calls of items, each with its error.
        deaths: by worker, why its process has ended, if that was no end that the runner has requested.
        faults: how many of each kind there were.
        loses_unread: to be set to whether a connection that is reset loses what was not read, as with TLS.
        is_over: to be set to True when no event counts from then on.
    """

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.begun: defaultdict[int, list[int]] = defaultdict(list)
        self.finished: defaultdict[int, list[int]] = defaultdict(list)
        self.outcomes: defaultdict[int, list[Any]] = defaultdict(list)
        self.invoked = 0
        self.failures: list[tuple[str, Exception]] = []
        self.deaths: dict[int, str] = {}
        self.faults: Counter[str] = Counter()
        self.loses_unread = False
        self.is_over = False

    def add(self, kind: str, what: Any, value: Any = None) -> None:
        """Add an event that happens now."""
        if not self.is_over:
            self.events.append(Event(clock.now, kind, what, value))

    def invoke(self, item: int, kind: str) -> None:
        """Add that the program has an item made."""
        self.invoked += 1
        self.add("invoke", item, kind)

    def fail(self, what: str, error: Exception) -> None:
        """Add that something has failed besides the call of an item."""
        self.failures.append((what, error))
        self.add("fail", what, repr(error))

    def begin(self, item: int, worker: int) -> None:
        """Add that a worker has begun an item."""
        self.begun[item].append(worker)
        self.add("begin", item, worker)

    def finish(self, item: int, worker: int) -> None:
        """Add that a worker has finished an item, and can't lose its result."""
        self.finished[item].append(worker)
        self.add("finish", item, worker)

    def settle(self, item: int, outcome: Any) -> None:
        """Add an item's result, or its error."""
        self.outcomes[item].append(outcome)
        is_error = isinstance(outcome, BaseException)
        self.add("fail" if is_error else "ok", item, repr(outcome) if is_error else outcome)

    def fault(self, kind: str, what: Any) -> None:
        """Add a fault."""
        self.faults[kind] += 1
        self.add("fault", kind, what)

    def digest(self) -> str:
        """Return a text that differs for histories that differ."""
        return hashlib.sha256("\n".join(map(str, self.events)).encode()).hexdigest()[:16]
