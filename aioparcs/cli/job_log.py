"""The log of a submitted runner: its text, the live display of its job, and its progress as JSON."""

from __future__ import annotations

import re
import sys
from collections.abc import AsyncIterable, Iterable, Iterator
from contextlib import contextmanager
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Any

from aioparcs.display import Clock, Detail, live_on_terminal, sanitize
from aioparcs.display.view import JobView
from aioparcs.events import Event, EventBus, LogLines, Notice, Packed, Snapshot, StatusLine, guarded
from aioparcs.events.log import EventLogReader
from aioparcs.events.packing import unpacked
from aioparcs.events.shifting import shifted

if TYPE_CHECKING:
    from aioparcs.display.live import LiveDisplay
    from aioparcs.swarm.docker.logs import LogLine

__all__ = ["LogEvents", "RunnerClock", "print_log", "read_progress"]

_PRINTED = re.compile(r"([\w./-]+)(?::(\d{1,9}))? \| (.*)")  # a line of a worker, or of its launcher


class RunnerClock(Clock):
    """The time of a runner, in seconds since its display began, as its snapshots have it; it never goes back."""

    def __init__(self) -> None:
        # Its time, and when it was that, None while it stands still; one value, since a display's thread reads it.
        self._known: tuple[float, float | None] = (0.0, None)

    def now(self) -> float:
        """Return the runner's present time, as near as it is known here."""
        time, since = self._known
        return time if since is None else time + monotonic() - since

    def set(self, snapshot: Snapshot) -> None:
        """Go by a snapshot that was just read: the runner's clock is at least there."""
        self._known = max(self.now(), snapshot.time), None if snapshot.is_over else monotonic()


class LogEvents:
    """
    The events of a runner elsewhere, as its log has them, for a bus of this program.

    The times of snapshots are those of the runner's display, and become those of this program's clock. Text counts as
    printed when it comes.

    Args:
        bus: gets the events.
    """

    def __init__(self, bus: EventBus) -> None:
        self._bus = bus
        # When the runner's display began, on this program's clock, as far as the fastest line says.
        self._begun = inf
        self._has_dropped = False

    def add(self, read: str | Event | None) -> None:
        """Publish a line of the log: its text, or its event."""
        now = monotonic()
        match read:
            case str(text):
                self._bus.publish(_text_event(now, text))
            case Snapshot() | Packed():
                self._begun = min(self._begun, now - read.time)
                for event in unpacked(read) if isinstance(read, Packed) else [read]:
                    self._bus.publish(shifted(event, self._begun))
                self._note_dropped(now, read)
            case None:
                pass
            case _:
                self._bus.publish(read._replace(time=now))

    def _note_dropped(self, now: float, read: Event) -> None:
        """Publish that the log had no room for some events, once."""
        if isinstance(read, Packed) and read.dropped and not self._has_dropped:
            self._has_dropped = True
            text = "the log of the runner has no room for all that happens: single workers or their ends are missing"
            self._bus.publish(Notice(now, "runner", text))


def _text_event(now: float, text: str) -> LogLines:
    """Return the event of a text: of the worker whose name it begins with, or else of the runner."""
    if match := _PRINTED.fullmatch(text):
        module, worker, line = match.groups()
        return LogLines(now, module, ((None if worker is None else int(worker), line),))
    return LogLines(now, "runner", ((None, text),))


async def print_log(
    lines: AsyncIterable[LogLine], word: str, detail: Detail, *, live: bool, events: EventBus | None = None
) -> None:
    """
    Print what a runner prints: on a terminal with the live display of its job, elsewhere lines on its progress.

    Args:
        lines: the lines of its log.
        word: the word that marks events in it, "" if there are none.
        detail: how much is shown.
        live: whether there is a display: False for lines alone.
        events: gets what the log has.
    """
    with _printer(word, detail if live else Detail.QUIET, events) as printer:
        async for line in lines:
            printer.print(line)


@contextmanager
def _printer(word: str, detail: Detail, events: EventBus | None) -> Iterator[_LogPrinter]:
    clock = RunnerClock()
    with live_on_terminal(detail if word else Detail.QUIET, clock) as display:
        printer = _LogPrinter(EventLogReader(word), clock, display, LogEvents(events) if events else None)
        try:
            yield printer
        finally:
            printer.close()


class _LogPrinter:
    """Prints lines of a log, and passes the snapshots between them to a display."""

    def __init__(
        self, reader: EventLogReader, clock: RunnerClock, display: LiveDisplay | None, events: LogEvents | None
    ) -> None:
        self._reader = reader
        self._events = events
        self._clock = clock
        self._display = display

    def print(self, line: LogLine) -> None:
        """Print a line if it is text, or if it is a line on progress and there is no display."""
        read = self._reader.read(line.text, error=line.error)
        if self._events:
            self._events.add(read)
        match read:
            case str(text):
                _write(text, error=line.error)
            case StatusLine(text=text) if not self._display:
                _write(text, error=True)
            case Snapshot() as snapshot:
                self._clock.set(snapshot)
                if self._display:
                    guarded(self._display, snapshot)

    def close(self) -> None:
        """Print the rest of lines that were not ended."""
        for text, error in self._reader.rest():
            _write(text, error=error)


def _write(text: str, *, error: bool) -> None:
    stream = sys.stderr if error else sys.stdout
    stream.write(f"{sanitize(text, color=True) if stream.isatty() else text}\n")
    stream.flush()


def read_progress(lines: Iterable[LogLine], word: str) -> dict[str, Any] | None:
    """Return the progress of a job as JSON, from the last lines of its runner's log; None if they don't have it."""
    reader, view = EventLogReader(word), JobView()
    last = None
    for line in lines:
        event = reader.read(line.text, error=line.error)
        if isinstance(event, Snapshot):
            view.apply(event)
            last = event
    return _described(view, last) if last else None


def _described(view: JobView, last: Snapshot) -> dict[str, Any]:
    modules = [
        {"module": one.module, "workers": one.requested, "connected": one.up, "finished": one.done,
         "failed": one.failed, "stopped": one.stopped, "fraction": one.fraction if one.reports else None,
         "left": _seconds(view.seconds_left(one, last.time)), "nodes": one.nodes}
        for one in view.modules
    ]  # fmt: skip
    pools = [
        {"pool": pool.state.name, "done": pool.state.done, "failed": pool.state.failed,
         "retried": pool.state.repeats, "total": pool.state.total, "running": pool.state.running,
         "workers": pool.state.workers, "wanted": pool.state.wanted, "over": pool.ended is not None,
         "rate": round(pool.items_per_second(last.time), 3), "left": _seconds(pool.seconds_left(last.time))}
        for pool in view.pools.listed
    ]  # fmt: skip
    return {
        "elapsed": _seconds(last.time),
        "over": last.is_over,
        "modules": modules,
        "pools": pools,
        "more_pools": view.pools.unlisted,
    }


def _seconds(time: float | None) -> float | None:
    return None if time is None else round(time, 1)
