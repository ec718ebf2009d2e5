"""
The times in which workers talk: their channels carry messages, and they are in no call.

No file is read here and no clock: samples and calls go in, times come out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import inf
from typing import NamedTuple, Protocol

__all__ = ["Talk", "Talker", "Talks"]

_PERIOD = 1.5  # seconds between two samples of a channel that is used, at the most: usually one
_RARE = 6.0  # ... in the log of a runner on a Swarm
_FULL = 100  # samples of an event that may have no room for more: others come with the next one
_LATE = 3.0  # seconds after which it is known whether a worker was in a call
# ... whether a pool has a worker that has had messages so rarely: it may have told it what it is for.
_PREPARED, _FEW = 60.0, 2
_FRAME = 8  # bytes of a frame without a message: a ping, or the end of a channel


class Talk(NamedTuple):
    """
    A time in which a worker's channel has carried messages, in seconds since the job began.

    Attributes:
        worker: the worker's number.
        begin: when it began.
        end: when it was over.
        messages: how many frames the channel has carried.
    """

    worker: int
    begin: float
    end: float
    messages: int


class Talker(Protocol):
    """A worker; times are seconds since its job began."""

    @property
    def number(self) -> int:
        """Its number."""

    @property
    def module(self) -> str:
        """Its module."""

    @property
    def connected(self) -> float | None:
        """When it was connected, None if it is not."""

    @property
    def reached(self) -> float:
        """The end of its calls."""

    @property
    def calling_since(self) -> float:
        """When the call began that it is in, if that takes long; else infinite."""


class Talks:
    """
    Finds the times with messages that have nothing to do with calls.

    Args:
        find: returns the worker of a number, None if there is none.
        has_pool: returns whether a pool has a module's workers.
    """

    def __init__(self, find: Callable[[int], Talker | None], has_pool: Callable[[str], bool]) -> None:
        self._period = _PERIOD
        self._find = find
        self._has_pool = has_pool
        self._sampled: dict[int, float] = {}  # worker: when it had its last sample
        self._new: set[int] = set()  # workers of which some are open since their first sample
        self._open: dict[int, list[Talk]] = {}  # worker: times of which it is not known yet what they are
        self._due = inf  # when some are
        self._is_full = False

    def set_rare(self) -> None:
        """Note that samples are as rare as in the log of a runner on a Swarm."""
        self._period = _RARE

    def begin(self, samples: int) -> None:
        """Note that so many samples come at once: others may be late where these are all that there was room for."""
        self._is_full = samples >= _FULL

    def add(self, worker: Talker, messages: int, size: int, time: float) -> None:
        """Note the frames and the bytes that a worker's channel has carried since its last sample."""
        last = self._sampled.get(worker.number)
        since = worker.connected or 0.0 if last is None else last
        self._sampled[worker.number] = time
        begin = since if self._is_full or time - since <= self._period else time - 1.0
        is_of_pool = last is None and self._has_pool(worker.module)  # its workers learn what they are for
        if size > _FRAME * messages and worker.reached <= begin and not is_of_pool:
            talks = self._open.setdefault(worker.number, [])
            talks.append(Talk(worker.number, begin, time, messages))
            if last is None:
                self._new.add(worker.number)
            self._due = min(self._due, time if len(talks) > _FEW else time + _LATE)

    def call(self, worker: int, begin: float, end: float) -> None:
        """Note a worker's calls, which its messages may have been."""
        if worker in self._open:
            self._open[worker] = [talk for talk in self._open[worker] if talk.end <= begin or talk.begin >= end]

    def decided(self, now: float) -> Iterator[Talk]:
        """Yield the times of which it is known by now that their workers were in no call."""
        if now < self._due:
            return
        opened, self._open, self._due = self._open, {}, inf
        for number, talks in opened.items():
            worker = self._find(number)
            if worker is None:
                del self._sampled[number]
                self._new.discard(number)
                continue
            late = _LATE
            if number in self._new:
                if self._has_pool(worker.module):  # it has begun since
                    self._new.discard(number)
                    continue
                late = _PREPARED if len(talks) <= _FEW else _LATE
            for talk in talks:
                if talk.end + late > now:
                    self._open.setdefault(number, []).append(talk)
                    self._due = min(self._due, talk.end + late)
                    continue
                self._new.discard(number)
                if talk.end <= worker.calling_since:
                    yield talk
