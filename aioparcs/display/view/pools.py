"""The pools of a program: the progress and the rate of each, as text."""

from __future__ import annotations

from collections import deque

from aioparcs.display.text import origin
from aioparcs.display.view.rate import RateEstimator, duration, frequency
from aioparcs.events import PoolRecord, PoolState

__all__ = ["Pool", "Pools", "counted"]

_KEPT = 5  # pools that are over and still listed one by one
_LISTED = 10  # pools that are listed, at the most


class Pool:
    """
    One pool, as it was seen last.

    Attributes:
        state: its last report.
        begun: when its first report came.
        ended: when it was over, None while it isn't.
    """

    __slots__ = ("_peak", "_rate", "begun", "ended", "state")

    def __init__(self, state: PoolState, now: float, *, peak: int = 0) -> None:
        self.begun = now
        self.ended: float | None = None
        self._peak = peak
        self._rate = RateEstimator(now, state.done)
        self.update(state, now)

    def update(self, state: PoolState, now: float) -> None:
        """Record a report."""
        self.state = state
        self._peak = max(self._peak, state.workers)
        self.ended = now if state.is_over else None
        if self.is_idle or not (state.done or state.workers):
            self._rate = RateEstimator(now, state.done)  # time that it waits for workers or items doesn't count
        else:
            # One burst of results from many workers says little about the rate; some results of each of them do.
            self._rate.reach(now, state.done, 4 * max(state.workers, 1))

    def record(self, origin: float) -> PoolRecord:
        """Return all of it as a record, with times since an origin."""
        ended = None if self.ended is None else round(self.ended - origin, 3)
        return PoolRecord(self.state, self._peak, round(self.begun - origin, 3), ended)

    @property
    def is_idle(self) -> bool:
        """True when it has nothing to do: all items that it knows of are done."""
        return not self.state.running and self.state.done == self.state.total

    @property
    def seconds(self) -> float:
        """Seconds from its first report to its end; 0 while it isn't over."""
        return (self.ended or self.begun) - self.begun

    @property
    def items(self) -> str:
        """The items that are done: ``5,000 of 20,000``, or ``5,000`` while their number is unknown."""
        done, total = self.state.done, self.state.total
        return f"{done:,} of {total:,}" if total else f"{done:,}"

    def items_per_second(self, now: float) -> float:
        """Return its rate, or the average of one that is over; 0 if nothing is done."""
        return self._rate.rate(now) if self.ended is None else self.state.done / max(self.seconds, 1e-3)

    def seconds_left(self, now: float) -> float | None:
        """Return the time that it will take, None if that is unknown."""
        total = self.state.total
        return None if total is None or self.ended is not None else self._rate.left(now, total)

    def rate(self, now: float) -> str:
        """Return its rate as text, ``1,234/s``; "" if nothing is done."""
        rate = self.items_per_second(now)
        return frequency(rate) if rate else ""

    def left(self, now: float) -> str:
        """Return the time that it will take as text, ``12 s left``; "" if it is unknown."""
        left = self.seconds_left(now)
        return "" if left is None else f"{duration(left)} left"

    @property
    def took(self) -> str:
        """The time that it took, ``16.2 s`` or ``49 ms``."""
        if self.seconds < 0.95:
            return f"{max(self.seconds * 1000, 1):.0f} ms"
        return f"{self.seconds:.1f} s" if self.seconds < 99.95 else duration(self.seconds)

    @property
    def is_short(self) -> bool:
        """True while it has fewer workers than it should have."""
        return self.ended is None and self.state.workers < self.state.wanted

    @property
    def workers(self) -> str:
        """Its workers, ``8 workers`` or ``6 of 8 workers``; of one that is over, the most that it had."""
        state = self.state
        if self.is_short:
            return f"{state.workers} of {state.wanted} workers"
        return counted(self._peak if self.ended is not None else state.workers, "worker")

    @property
    def failures(self) -> str:
        """The items that have failed, and the tries before that: ``3 failed, 5 retried``; "" if none has."""
        counts = ((self.state.failed, "failed"), (self.state.repeats, "retried"))
        return ", ".join(f"{count:,} {what}" for count, what in counts if count)

    def line(self, now: float) -> str:
        """Return its whole line: ``divisors: 5,000 of 20,000 items, 1,234/s, 12 s left, 8 workers, 3 failed``."""
        state = self.state
        noun = "item" if (state.total or state.done) == 1 else "items"
        first = f"{self.items} {noun}" + (f" in {self.took}" if self.ended is not None else "")
        return f"{origin(state.name, None)}: " + ", ".join(
            filter(None, (first, self.rate(now), self.left(now), self.workers, self.failures, state.waits))
        )


class Pools:
    """
    All pools: those that are at work, the last of those that are over, and the number of the others.

    Attributes:
        earlier: how many others there were.
    """

    def __init__(self) -> None:
        self.earlier = 0
        self._working: dict[int, Pool] = {}
        self._over: deque[Pool] = deque()

    @property
    def working(self) -> list[Pool]:
        """A list of those at work, safe to iterate over while another thread counts."""
        return list(self._working.values())

    @property
    def listed(self) -> list[Pool]:
        """The pools that a display lists: the last of those that are over, then those at work."""
        return [*self._over, *self.working][-_LISTED:]

    @property
    def unlisted(self) -> int:
        """The number of the others."""
        return self.earlier + max(len(self._over) + len(self._working) - _LISTED, 0)

    def restore(self, records: tuple[PoolRecord, ...], unlisted: int, now: float) -> None:
        """Replace all that is known by the records of a snapshot; the rates go on."""
        known = {pool.state.id: pool for pool in (*self._over, *self.working)}
        working: dict[int, Pool] = {}
        over: deque[Pool] = deque()
        for state, peak, begun, ended in records:
            # A snapshot that comes late has missed its beginning: then its rate is its average at first.
            pool = known.get(state.id) or Pool(state._replace(done=0), begun, peak=peak)
            pool.update(state, now)
            pool.begun, pool.ended = begun, ended
            if ended is None:
                working[state.id] = pool
            else:
                over.append(pool)
        self._working, self._over, self.earlier = working, over, unlisted

    def update(self, state: PoolState, now: float) -> Pool | None:
        """Record a report, and return its pool; None if that never began, or is known to be over."""
        pool = self._working.get(state.id)
        if pool is not None:
            pool.update(state, now)
        elif not state.is_over or (state.done and all(one.state.id != state.id for one in self._over)):
            pool = self._working[state.id] = Pool(state, now)
        else:
            return None
        if pool.ended is not None:
            del self._working[state.id]
            self._over.append(pool)
            if len(self._over) > _KEPT:
                self._over.popleft()
                self.earlier += 1
        return pool


def counted(number: int, noun: str) -> str:
    """Return a number of things as text: ``1 worker``, ``8 workers``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
