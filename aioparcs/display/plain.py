"""The display for logs and pipes."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator

from aioparcs.display.events import FAILURES, Detail, Display
from aioparcs.display.guard import guarded
from aioparcs.display.job_counts import ModuleCounts, counted
from aioparcs.display.pools import Pool
from aioparcs.display.text import origin, sanitize, write_line
from aioparcs.display.throttle import PATIENCE, LineThrottle, PoolLines

__all__ = ["PlainDisplay"]

PERIOD = 0.25  # seconds between two looks at the counts


class PlainDisplay(Display):
    """
    Prints a line to stderr when something has happened: for logs and pipes.

    A thread looks at the counts four times a second, so that workers asked for one by one make one line.

    Args:
        detail: how much it prints; when quiet, only that workers or items failed.
    """

    def __init__(self, detail: Detail) -> None:
        super().__init__(detail)
        self._told: dict[str, _Told] = {}
        self._pool_lines = PoolLines(short=True)
        self._failed_pools = 0
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._keep_looking, name="aioparcs-display", daemon=True)

    def started(self, module: str, workers: range) -> None:
        super().started(module, workers)
        if self._detail is not Detail.QUIET and self._thread.ident is None:
            self._thread.start()

    def flush(self) -> None:
        """Print the latest counts of workers, before the program prints how it all ended."""
        if self._thread.ident is not None:
            self._tell(last=True)

    def close(self) -> None:
        """Print the lines that are left, and the job's summary."""
        if self._thread.ident is not None:
            self._ended.set()
            self._thread.join()
            self.flush()
            for line in self._pool_lines.rest():
                write_line(line)
            sys.stdout.flush()
            write_line(self.tally.summary(self.elapsed))

    def _show(self, pool: Pool) -> None:
        if self._detail is not Detail.QUIET:
            for line in self._pool_lines.about(pool, self.elapsed):
                self._tell()  # what happened before it
                write_line(line)
        elif pool.ended is not None and pool.state.failed and self._failed_pools < FAILURES:
            self._failed_pools += 1
            self._line(pool.state.name, None, ": ", f"{pool.state.failed:,} of {pool.state.done:,} items failed")

    def _line(self, module: str, worker: int | None, separator: str, text: str) -> None:
        if self._detail is not Detail.QUIET:
            self._tell()  # what happened before this line
        write_line(f"{origin(module, worker)}{separator}{sanitize(text, color=False)}")

    def _keep_looking(self) -> None:
        while not self._ended.wait(PERIOD):
            guarded(self._tell)

    def _tell(self, last: bool = False) -> None:
        with self._lock:
            for count in self.tally.counts:
                told = self._told.setdefault(count.module, _Told(self.elapsed))
                for line in told.news(count, self.elapsed, last, self.left(count.module)):
                    write_line(f"{origin(count.module, None)}: {line}")


class _Told:
    """The numbers of one module that a plain display has printed, so that it repeats none, and prints not too often."""

    def __init__(self, now: float) -> None:
        self._numbers = {"asked": 0, "placed": 0, "connected": 0, "ended": 0}
        self._times = {"placed": 0.0, "connected": 0.0, "ended": 0.0}
        self._turns = LineThrottle(now)

    def news(self, count: ModuleCounts, now: float, last: bool, left: str) -> Iterator[str]:
        asked, expected = count.asked, count.expected
        if more := asked - self._numbers["asked"]:
            noun = f"more {'worker' if more == 1 else 'workers'}"
            yield f"starting {more:,} {noun}" if self._numbers["asked"] else f"starting {counted(more, 'worker')}"
            self._numbers["asked"] = asked
            self._times.update(placed=now, connected=now, ended=now)
        is_placed = count.nodes.total() == expected
        if self._is_news("placed", count.placed, is_placed or last, now):
            yield f"{count.nodes.total()} of {expected} placed on {count.places}"
        if self._is_news("connected", count.connected, count.arrived == expected or last, now):
            yield f"{count.arrived} of {expected} connected"
        if count.reports and count.present and self._turns.come(now, count.fraction):
            yield f"{100 * count.fraction:.0f} %" + (f", {left}" if left else "")
        if self._is_news("ended", count.ended, not count.present or last, now):
            yield count.end

    def _is_news(self, what: str, number: int, is_due: bool, now: float) -> bool:
        """Return whether a number has changed, and is printed now: it is due, or was printed long ago."""
        if number == self._numbers[what] or not (is_due or now - self._times[what] > PATIENCE):
            return False
        self._numbers[what], self._times[what] = number, now
        return True
