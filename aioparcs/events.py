"""
The events of a job, and the bus that takes them to displays.

An event is a record that says what has happened, and when: programs publish it in process, and write it as one line of
JSON where others read it. No clock is read here: who publishes an event passes its time.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, NamedTuple

__all__ = [
    "Event",
    "EventBus",
    "LogLines",
    "ModuleState",
    "Notice",
    "PoolProgress",
    "PoolState",
    "ProgramEnding",
    "Subscriber",
    "WorkerConnected",
    "WorkerExited",
    "WorkerProgress",
    "WorkerStopped",
    "WorkersPlaced",
    "WorkersRequested",
    "guarded",
    "program_events",
]


class PoolState(NamedTuple):
    """
    The progress of a pool.

    Attributes:
        id: the pool's number in its program, from 0.
        name: what it is called: its module, unless its user says otherwise.
        done: items whose results are there, failed ones included.
        failed: items that failed.
        total: how many items there are, None while that is unknown.
        running: items that are with workers.
        workers: workers that are up.
        wanted: workers that there should be; 0 when the pool is over.
    """

    id: int
    name: str
    done: int
    failed: int
    total: int | None
    running: int
    workers: int
    wanted: int


class ModuleState(NamedTuple):
    """
    The workers of a module.

    Attributes:
        module: the module's name.
        requested: workers requested, in all.
        up: workers that are connected now.
        done: workers that have ended cleanly.
        failed: workers that have ended otherwise.
        stopped: workers that the runner has ended.
        reports: whether any worker has reported its progress.
        fraction: the share of the work that is done, 0 to 1; each worker counts alike.
        nodes: how many workers each node has, by its name.
    """

    module: str
    requested: int
    up: int
    done: int
    failed: int
    stopped: int
    reports: bool
    fraction: float
    nodes: dict[str, int]

    @property
    def ended(self) -> int:
        """The number of workers that have ended, in any way."""
        return self.done + self.failed + self.stopped

    @property
    def present(self) -> int:
        """The number of workers that have not ended, connected or not."""
        return self.requested - self.ended


@dataclass(frozen=True, slots=True)
class Event:
    """
    Something that has happened in a program.

    Attributes:
        time: when, in seconds of the program's monotonic clock.
    """

    time: float


@dataclass(frozen=True, slots=True)
class WorkersRequested(Event):
    """Workers of a module were requested."""

    module: str
    workers: range


@dataclass(frozen=True, slots=True)
class WorkersPlaced(Event):
    """The engine has chosen a node for some workers."""

    module: str
    workers: range
    node: str


@dataclass(frozen=True, slots=True)
class WorkerConnected(Event):
    """A worker is connected."""

    module: str
    worker: int


@dataclass(frozen=True, slots=True)
class WorkerExited(Event):
    """A worker has ended by itself; ``error`` is None for a clean end."""

    module: str
    worker: int
    error: str | None


@dataclass(frozen=True, slots=True)
class WorkerStopped(Event):
    """The runner has ended a worker that was not done."""

    module: str
    worker: int


@dataclass(frozen=True, slots=True)
class WorkerProgress(Event):
    """A worker has reported its progress, in numbers that need not make sense."""

    module: str
    worker: int
    done: float
    total: float


@dataclass(frozen=True, slots=True)
class PoolProgress(Event):
    """The state of a pool, several times a second while it works and once when it is over."""

    state: PoolState


@dataclass(frozen=True, slots=True)
class LogLines(Event):
    """Lines that workers, or their launcher (None), have printed."""

    module: str
    lines: tuple[tuple[int | None, str], ...]


@dataclass(frozen=True, slots=True)
class Notice(Event):
    """A text for people: something takes a while, or something was lost; a warning is for those who want few lines."""

    module: str
    text: str
    is_warning: bool = False


@dataclass(frozen=True, slots=True)
class ProgramEnding(Event):
    """The program is about to print how it ended: what displays hold back comes first."""


Subscriber = Callable[[Event], object]


class EventBus:
    """
    The way of a program's events to those who watch it.

    Subscribers are called in the event loop, so each call is quick. What one of them raises is reported in one line,
    and costs neither the program nor the other subscribers anything.
    """

    def __init__(self, *subscribers: Subscriber) -> None:
        self._subscribers = list(subscribers)

    def subscribe(self, subscriber: Subscriber) -> None:
        """Pass all later events to a subscriber, too."""
        self._subscribers.append(subscriber)

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
        frame = traceback.extract_tb(error.__traceback__)[-1]
        place = frame.filename, frame.lineno or 0
        if place not in _reported:
            _reported.add(place)
            what = "".join(filter(str.isprintable, " ".join(f"{type(error).__name__}: {error}".split())))
            _write(f"the display failed, the job goes on: {what} ({place[0]}:{place[1]})\n")


def _write(line: str) -> None:
    try:
        sys.stderr.write(line)
        sys.stderr.flush()
    except (OSError, ValueError, AttributeError):
        pass  # the reader is gone, the stream is closed, or there is none
