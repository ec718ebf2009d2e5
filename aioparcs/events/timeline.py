"""
The timeline of a program in its log: single workers, their calls, and what they use, in a bounded number of bytes.

Snapshots come first: this is for what they leave of the bytes that a log may have in a second. What has no room waits;
calls that wait are merged, numbers that wait are replaced by newer ones, and the oldest of what is left is dropped and
counted.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator

from aioparcs.events.event import Event
from aioparcs.events.log import EventLog
from aioparcs.events.packing import Packer
from aioparcs.events.pending import PendingNumbers, PendingSpans
from aioparcs.events.records import (
    CallSpans,
    ProgramEnding,
    WorkerConnected,
    WorkerExited,
    WorkersPlaced,
    WorkersRequested,
    WorkerStopped,
)
from aioparcs.events.samples import CallsRunning, ChannelSamples, PeersChanged, StackSample, WorkerUsage
from aioparcs.events.shifting import shifted

__all__ = ["TimelineLog"]

_PERIOD = 1.0  # seconds between two lines
_WAITING = 20_000  # events on workers that may wait
_TRACEBACKS = 3  # that a line may have: a traceback takes more bytes than a hundred calls
_LAST_LINES = 4  # that the end of a program may have, whatever their bytes: all its workers end then
_LONGEST = 1000  # characters of a reason why a worker or the program has ended
_STACK = 6000  # those of a stack
_KINDS = (WorkersRequested, WorkersPlaced, WorkerConnected, WorkerExited, WorkerStopped, PeersChanged, ProgramEnding)


class TimelineLog:
    """
    A subscriber that writes what happens to single workers into a log.

    It may be called in one thread and write in another.

    Args:
        log: the log.
        begun: when the program's display began: the events of a log have their times since then.
    """

    def __init__(self, log: EventLog, begun: float) -> None:
        self._log = log
        self._begun = begun
        self._lock = threading.Lock()
        self._events: deque[Event] = deque()
        self._running: dict[int | None, CallsRunning] = {}  # by pool
        self._stacks: dict[int | None, StackSample] = {}  # by worker
        self._spans = PendingSpans()
        self._numbers = PendingNumbers()
        self._dropped = 0
        self._next = 0.0  # when the next line is due

    def __call__(self, event: Event) -> None:
        """Note an event."""
        with self._lock:
            match event:
                case CallSpans():
                    self._spans.add(event)
                case CallsRunning():
                    self._running[event.pool] = event
                case StackSample():
                    self._stacks[event.worker] = event._replace(text=_cut(event.text))
                case ChannelSamples() | WorkerUsage():
                    self._numbers.add(event)
                case _ if isinstance(event, _KINDS):
                    self._events.append(_shortened(event))
                    if len(self._events) > _WAITING:
                        self._events.popleft()
                        self._dropped += 1

    def write(self, now: float) -> None:
        """Write a line with what has room, if one is due; ``now`` is seconds since the display began."""
        if now >= self._next:
            self._next = now + _PERIOD
            self._write(now, self._log.room(now))

    def close(self, now: float) -> None:
        """Write the rest, as far as it has room."""
        for _ in range(_LAST_LINES):
            if not self._write(now, self._log.most):
                return
        with self._lock:
            self._dropped += len(self._events)
        self._log.write_packed(Packer(0).packed(now, self._dropped))

    def _write(self, now: float, room: int) -> bool:
        """Write one line of at most some bytes; return whether more is left."""
        packer = self._log.packer(room)
        with self._lock:
            count, traced = 0, _TRACEBACKS
            for event in self._waiting(now + self._begun):
                if (written := _add(packer, shifted(event, -self._begun), traced)) is not None:
                    count += 1
                    traced -= written
                elif count or room < self._log.most:
                    break
                else:
                    self._dropped += 1  # it is too large for any line
                self._done(event)
            is_left = bool(self._events or self._running or self._spans)
        if count:
            self._log.write_packed(packer.packed(now, self._dropped))
        return is_left and bool(count)

    def _waiting(self, time: float) -> Iterator[Event]:
        """Yield what waits, what matters most first; each is taken away before the next one is asked for."""
        while self._events:
            yield self._events[0]
        while self._running:
            yield next(iter(self._running.values()))
        while self._stacks:
            yield next(iter(self._stacks.values()))
        while self._spans:
            yield self._spans.first(time)
        while self._numbers.is_due(time):
            yield self._numbers.first(time)

    def _done(self, event: Event) -> None:
        match event:
            case CallSpans():
                self._spans.remove(event)
            case CallsRunning():
                del self._running[event.pool]
            case StackSample():
                del self._stacks[event.worker]
            case ChannelSamples() | WorkerUsage():
                self._numbers.remove(event)
            case _:
                self._events.popleft()


def _add(packer: Packer, event: Event, tracebacks: int) -> int | None:
    """Add an event, with so many tracebacks or fewer; return how many have room, None if the event has none."""
    if not (isinstance(event, CallSpans) and event.tracebacks):
        return 0 if packer.add(event) else None
    for count in sorted({min(tracebacks, len(event.tracebacks)), min(tracebacks, 1), 0}, reverse=True):
        if packer.add(event._replace(tracebacks=event.tracebacks[:count])):
            return count
    return None


def _cut(stack: str) -> str:
    """Return a stack with its first lines: the calls that were made last are the first ones."""
    if len(stack) <= _STACK:
        return stack
    return f"{stack[:_STACK].rpartition(chr(10))[0]}\n..."


def _shortened(event: Event) -> Event:
    """Return an event whose reason is short enough to have room beside others."""
    if isinstance(event, WorkerExited | ProgramEnding) and event.error:
        return event._replace(error=event.error[:_LONGEST])
    return event
