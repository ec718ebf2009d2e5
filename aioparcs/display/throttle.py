"""The throttle of a log's lines on pools and long tasks: few, however long they take and however many there are."""

from __future__ import annotations

from collections.abc import Iterator

from aioparcs.display.view import Pool, counted
from aioparcs.events import PoolState

__all__ = ["PATIENCE", "LineThrottle", "PoolLines"]

PATIENCE = 5.0  # the least seconds between two lines about the same thing
_STEPS = 4  # parts of the work whose end gets a line
_LONGEST = 300.0  # seconds without a line, at the most
_ONE_BY_ONE = 5  # short pools that get a line each; the others are summed up


class LineThrottle:
    """
    The moments at which something that goes on gets a line.

    That is after five seconds, then less and less often, at last once in five minutes; and in between when another
    quarter is done.

    Args:
        now: the time at which it began, in seconds.
    """

    __slots__ = ("_last", "_pause", "_step")

    def __init__(self, now: float) -> None:
        self._last = now
        self._pause = PATIENCE
        self._step = 0

    def come(self, now: float, fraction: float = 0.0) -> bool:
        """Return whether a line is due now; if it is, schedule the next one."""
        step = min(int(fraction * _STEPS), _STEPS - 1)  # the end gets its own line
        self._step = min(self._step, step)  # more work may have come
        if now - self._last < (PATIENCE if step > self._step else self._pause):
            return False
        self._last, self._step, self._pause = now, step, min(2 * self._pause, _LONGEST)
        return True


class PoolLines:
    """
    Chooses the lines on pools: one now and then for each that goes on, and one for each that is over.

    Of those over before their first line only the first few get one each; the others are summed up.

    Args:
        short: whether such pools get lines at all.
    """

    def __init__(self, *, short: bool) -> None:
        self._turns: dict[int, LineThrottle] = {}
        self._shown: dict[int, PoolState] = {}
        self._one_by_one = _ONE_BY_ONE
        self._sum = _Sum() if short else None

    def about(self, pool: Pool, now: float) -> Iterator[str]:
        """Yield the lines that are due now for a pool's report."""
        state = pool.state
        turns = self._turns.setdefault(state.id, LineThrottle(pool.begun))
        if pool.ended is None:
            is_news = not pool.is_idle or self._shown.get(state.id) != state
            if is_news and turns.come(now, state.done / state.total if state.total else 0.0):
                self._shown[state.id] = state
                yield pool.line(now)
            return
        del self._turns[state.id]
        if self._shown.pop(state.id, None) or pool.seconds >= PATIENCE:
            yield pool.line(now)
        elif self._sum and self._one_by_one:
            self._one_by_one -= 1
            yield pool.line(now)
        elif self._sum:
            yield from self._sum.add(state, now)

    def rest(self) -> Iterator[str]:
        """Yield the lines that are left at the end of all."""
        if self._sum:
            yield from self._sum.take()


class _Sum:
    """The sum of pools that got no line of their own."""

    def __init__(self) -> None:
        self._turns: LineThrottle | None = None
        self._pools = self._items = self._failed = 0

    def add(self, state: PoolState, now: float) -> Iterator[str]:
        self._turns = self._turns or LineThrottle(now)
        self._pools += 1
        self._items += state.done
        self._failed += state.failed
        if self._turns.come(now):
            yield from self.take()

    def take(self) -> Iterator[str]:
        if self._pools:
            failed = f", {self._failed:,} failed" if self._failed else ""
            yield f"{self._pools:,} more pool{'s' * (self._pools > 1)} over: {counted(self._items, 'item')}{failed}"
        self._pools = self._items = self._failed = 0
