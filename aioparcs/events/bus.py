"""The bus that delivers a program's events to displays, and the guard against their errors."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from aioparcs.events.event import Event

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["EventBus", "Subscriber", "guarded", "program_events", "report_once"]

Subscriber = Callable[[Event], object]


class EventBus:
    """
    The delivery of a program's events to subscribers.

    Subscribers are called in the event loop, so each call is quick. An exception of a subscriber is reported in one
    line, and affects neither the program nor the other subscribers.

    Attributes:
        wants_calls: whether a subscriber wants `CallSpans`, which take time to make.
        wants_stacks: whether one wants each `StackSample`, for which workers are disturbed.
        history: the file with the history of the program, None if it has none.
    """

    def __init__(self, *subscribers: Subscriber) -> None:
        self._subscribers = list(subscribers)
        self.wants_calls = self.wants_stacks = False
        self.history: Path | None = None

    def subscribe(self, subscriber: Subscriber, *, calls: bool = False, stacks: bool = False) -> None:
        """Pass all later events to a subscriber, too; it may want those of pools that begin later to have calls."""
        self._subscribers.append(subscriber)
        self.wants_calls = self.wants_calls or calls
        self.wants_stacks = self.wants_stacks or stacks

    def unsubscribe(self, subscriber: Subscriber) -> None:
        """Pass no more events to a subscriber; what others want is not known, and stays as it is."""
        self._subscribers.remove(subscriber)

    def publish(self, event: Event) -> None:
        """Pass an event to all subscribers."""
        for subscriber in self._subscribers:
            guarded(subscriber, event)


# A program's driver, such as the command line, sets here the bus of the runners that the program makes.
program_events: ContextVar[EventBus | None] = ContextVar("program_events", default=None)

_reported: set[tuple[str, int]] = set()  # places in the code whose error was reported


def guarded(function: Callable[..., object], *args: Any) -> None:
    """Call code of a display; report an error of it in one line, once for each place, and don't raise it."""
    try:
        function(*args)
    except Exception as error:
        report_once("the display failed", error)


def report_once(failure: str, error: Exception) -> None:
    """Write on standard error, in one line and once for each place in the code, that the job goes on after an error."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    place = frame.filename, frame.lineno or 0
    if place not in _reported:
        _reported.add(place)
        what = "".join(filter(str.isprintable, " ".join(f"{type(error).__name__}: {error}".split())))
        _write(f"{failure}, the job goes on: {what} ({place[0]}:{place[1]})\n")


def _write(line: str) -> None:
    try:
        sys.stderr.write(line)
        sys.stderr.flush()
    except (OSError, ValueError, AttributeError):
        pass  # the reader is gone, the stream is closed, or there is none
