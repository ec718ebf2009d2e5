"""What a log is told of pools and long tasks: little, however long they take and however many there are."""

from __future__ import annotations

from collections.abc import Iterator

from aioparcs.display.job_counts import counted
from aioparcs.display.pools import Pool
from aioparcs.engine import PoolState

__all__ = ["PATIENCE", "LineThrottle", "PoolLines"]

PATIENCE = 5.0  # seconds between two lines about the same thing, at the least
_STEPS = 4  # parts of a work whose end is worth a line
_LONGEST = 300.0  # seconds without a line, at the most
_ONE_BY_ONE = 5  # short pools of a name that get a line each; what comes in thousands is summed up


class LineThrottle:
    """
    When something that goes on has its turn to be told of.

    That is after five seconds, then ever less often, once in five minutes at last; and in between when another
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
        """Tell whether it is its turn, and take it."""
        step = min(int(fraction * _STEPS), _STEPS - 1)  # the end is told by itself
        self._step = min(self._step, step)  # more work may have come
        if now - self._last < (PATIENCE if step > self._step else self._pause):
            return False
        self._last, self._step, self._pause = now, step, min(2 * self._pause, _LONGEST)
        return True


class PoolLines:
    """
    Chooses what is said of pools: a line at its turn for each that goes on, and one for each that is over.

    Of those over before their first turn only the first few get a line each; the others are summed up.

    Args:
        short: whether anything is said of these.
    """

    def __init__(self, *, short: bool) -> None:
        self._turns: dict[int, LineThrottle] = {}
        self._said: dict[int, PoolState] = {}
        self._one_by_one = _ONE_BY_ONE
        self._sum = _Sum() if short else None

    def about(self, pool: Pool, now: float) -> Iterator[str]:
        """Give the lines that a pool's news are worth now."""
        state = pool.state
        turns = self._turns.setdefault(state.id, LineThrottle(pool.begun))
        if pool.ended is None:
            is_news = not pool.is_idle or self._said.get(state.id) != state
            if is_news and turns.come(now, state.done / state.total if state.total else 0.0):
                self._said[state.id] = state
                yield pool.line(now)
            return
        del self._turns[state.id]
        if self._said.pop(state.id, None) or pool.seconds >= PATIENCE:
            yield pool.line(now)
        elif self._sum and self._one_by_one:
            self._one_by_one -= 1
            yield pool.line(now)
        elif self._sum:
            yield from self._sum.add(state, now)

    def rest(self) -> Iterator[str]:
        """Give what was not said yet at the end of all."""
        if self._sum:
            yield from self._sum.take()


class _Sum:
    """Pools that nothing was said of."""

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
