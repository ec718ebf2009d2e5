"""The displays for logs and pipes, and for programs that run by themselves: lines on standard error."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

from aioparcs.display.base import FAILURES, Display
from aioparcs.display.detail import Clock, Detail
from aioparcs.display.text import origin, sanitize, write_line
from aioparcs.display.throttle import PATIENCE, LineThrottle, PoolLines
from aioparcs.display.view import ModuleCounts, Pool, counted, describe_end
from aioparcs.events import Event, ProgramEnding, WorkersRequested, guarded

if TYPE_CHECKING:
    from aioparcs.display.place import ProgramPlace
    from aioparcs.events.log import EventLog
    from aioparcs.events.timeline import TimelineLog

__all__ = ["PlainDisplay"]

PERIOD = 0.25  # seconds between two looks at the counts
_LONG_START = 10.0  # seconds without another worker after which it is worth a line what they wait for


class PlainDisplay(Display):
    """
    Prints a line to stderr when something has happened: for logs and pipes.

    A thread looks at the counts four times a second, so that workers requested one by one make one line.

    Args:
        detail: how much it prints; when quiet, only that workers or items failed.
        clock: see `Display`.
        log: gets the lines on counts and progress, and snapshots, for those who follow this program from elsewhere.
    """

    def __init__(self, detail: Detail, clock: Clock | None = None, *, log: EventLog | None = None) -> None:
        super().__init__(detail, clock)
        self._log = log
        self.timeline: TimelineLog | None = None
        self._place: ProgramPlace | None = None
        if log:
            from aioparcs.display.place import ProgramPlace  # few programs have a log
            from aioparcs.events.timeline import TimelineLog

            self.timeline, self._place = TimelineLog(log, self.begun), ProgramPlace()
        self._printed: dict[str, _PrintedCounts] = {}
        self._pool_lines = PoolLines(short=True)
        self._failed_pools = 0
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._keep_printing, name="aioparcs-display", daemon=True)

    def flush(self) -> None:
        """Print the latest counts of workers, before the program prints how it all ended."""
        if self._detail is not Detail.QUIET:
            self._print_counts(last=True)

    def close(self) -> None:
        """Print the lines that are left, and the job's summary."""
        if self._thread.ident is None:
            return
        self._ended.set()
        self._thread.join()
        if self._detail is not Detail.QUIET:
            self.flush()
            for line in self._pool_lines.rest():
                self._status(line)
            sys.stdout.flush()
            self._status(self.view.summary(self.elapsed))
        if self.timeline:
            self.timeline.close(self.elapsed)
        self._write_snapshot(is_over=True)

    def _changed(self, event: Event, pool: Pool | None) -> None:
        if self._place:
            self._place.note_loop()
        if isinstance(event, WorkersRequested):
            if self._thread.ident is None and (self._log or self._detail is not Detail.QUIET):
                self._thread.start()
        elif isinstance(event, ProgramEnding):
            self.flush()
        elif pool:
            self._print_pool(pool)

    def _print_pool(self, pool: Pool) -> None:
        if self._detail is not Detail.QUIET:
            for line in self._pool_lines.about(pool, self.now):
                self._print_counts()  # what happened before it
                self._status(line)
        elif pool.ended is not None and pool.state.failed and self._failed_pools < FAILURES:
            self._failed_pools += 1
            self._line(pool.state.name, None, ": ", f"{pool.state.failed:,} of {pool.state.done:,} items failed")

    def _line(self, module: str, worker: int | None, separator: str, text: str) -> None:
        if self._detail is not Detail.QUIET:
            self._print_counts()  # what happened before this line
        write_line(f"{origin(module, worker)}{separator}{sanitize(text, color=False)}")

    def _keep_printing(self) -> None:
        while not self._ended.wait(PERIOD):
            if self._detail is not Detail.QUIET:
                guarded(self._print_counts)
            guarded(self._write_snapshot)
            guarded(self._write_timeline)

    def _print_counts(self, last: bool = False) -> None:
        with self._lock:
            for count in self.view.counts:
                printed = self._printed.setdefault(count.module, _PrintedCounts(self.now))
                for line in printed.news(count, self.now, last, self.view.left(count.state, self.now)):
                    self._status(f"{origin(count.module, None)}: {line}")

    def _status(self, line: str) -> None:
        """Print a line on counts or progress, which a display that draws would not need."""
        if self._log:
            self._log.write_status(self.elapsed, line)
        else:
            write_line(line)

    def _write_snapshot(self, *, is_over: bool = False) -> None:
        if self._log:
            self._log.write_snapshot(self.view.snapshot(self.now, self.begun, is_over=is_over))

    def _write_timeline(self) -> None:
        if self.timeline and self._place:
            if place := self._place.read(self.now):
                self.timeline(place)
            self.timeline.write(self.elapsed)


class _PrintedCounts:
    """The numbers of one module that a plain display has printed, so that it repeats none, and prints not too often."""

    def __init__(self, now: float) -> None:
        self._numbers = {"requested": 0, "placed": 0, "connected": 0, "ended": 0}
        self._times = {"placed": 0.0, "connected": 0.0, "ended": 0.0}
        self._throttle = LineThrottle(now)
        self._waits = ""

    def news(self, count: ModuleCounts, now: float, last: bool, left: str) -> Iterator[str]:
        requested, expected = count.requested, count.expected
        if more := requested - self._numbers["requested"]:
            noun = f"more {'worker' if more == 1 else 'workers'}"
            yield f"starting {more:,} {noun}" if self._numbers["requested"] else f"starting {counted(more, 'worker')}"
            self._numbers["requested"] = requested
            self._times.update(placed=now, connected=now, ended=now)
        is_placed = count.nodes.total() == expected
        if self._is_news("placed", count.placed, is_placed or last, now):
            nodes = ", ".join(f"{node} ({number})" for node, number in sorted(count.nodes.items()))
            yield f"{count.nodes.total()} of {expected} placed on {nodes}"
        if self._is_news("connected", count.connected, count.arrived == expected or last, now):
            yield f"{count.arrived} of {expected} connected"
        state = count.state
        if state.waits != self._waits and now - self._times["connected"] > _LONG_START:
            self._waits = state.waits
            yield from filter(None, [state.waits])
        if state.reports and state.present and self._throttle.come(now, state.fraction):
            yield f"{100 * state.fraction:.0f} %" + (f", {left}" if left else "")
        if self._is_news("ended", state.ended, not state.present or last, now):
            yield describe_end(state)

    def _is_news(self, what: str, number: int, is_due: bool, now: float) -> bool:
        """Return whether a number has changed, and is printed now: it is due, or was printed long ago."""
        if number == self._numbers[what] or not (is_due or now - self._times[what] > PATIENCE):
            return False
        self._numbers[what], self._times[what] = number, now
        return True
