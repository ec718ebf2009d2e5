"""Rounds of a scheduler: calls are taken from clients in turn, and dealt to workers in turn."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import cycle
from operator import itemgetter

from aioparcs.pool.scheduler.actions import Pull
from aioparcs.pool.scheduler.call import PendingCall, take_queued
from aioparcs.pool.scheduler.rotation import Rotation, Rotations
from aioparcs.pool.scheduler.worker_state import WorkerState

__all__ = ["Round", "rooms_of"]

_load = itemgetter(0)
_new = tuple.__new__  # a named tuple without the detour through its own constructor


class Round:
    """
    Calls that are collected for some workers, those of the highest priority first.

    Args:
        rotations: has the calls of all priorities.
        rotation: has those of the highest one.
        rooms: the workers, and how many calls each has room for.
        wanted: how many calls, at most the sum of their rooms.
        is_poll: True when nothing but a `Scheduler.tick` has begun it: if it finds no calls, the next may come late.

    Attributes:
        rooms: the workers, and how many calls each has room for.
        calls: the calls that were collected.
        is_poll: see there.
        rotation: that whose clients are pulled from.
    """

    __slots__ = ("_has_more", "_left", "_missing", "_rotations", "_share", "calls", "is_poll", "rooms", "rotation")

    def __init__(
        self, rotations: Rotations, rotation: Rotation, rooms: dict[WorkerState, int], wanted: int, is_poll: bool
    ) -> None:
        self.rooms = rooms
        self.is_poll = is_poll
        self.rotation = rotation
        self.calls = take_queued(rotation.returned, wanted) if rotation.returned else []
        self._rotations = rotations
        self._missing = wanted - len(self.calls)
        self._left = len(rotation.ready)  # clients that were not pulled from in this pass
        self._has_more = False  # True when one of those that were gave all that it was asked for
        self._share = 0  # how many calls the one that is pulled from is asked for

    def next_pull(self) -> Pull | None:
        """Return what to pull, an equal share of the missing calls from each client; None when that was done."""
        while self._missing > 0:
            ready = self.rotation.ready
            if not ready or not (self._left or self._has_more):
                if not self._go_on():
                    return None
                continue
            if not self._left:
                self._left, self._has_more = len(ready), False  # again: some had fewer than their share, others more
            self._share = -(-self._missing // self._left)
            self._left -= 1
            if ready[0] is self.rotation.submitted:
                self.add(self.rotation.take_submitted(self._share))
            elif (client := self.rotation.begin_pull()) is not None:
                return _new(Pull, (client, self._share))
        return None

    def _go_on(self) -> bool:
        """Go on with the calls of a lower priority; False if there are none."""
        rotation = self._rotations.below(self.rotation)
        if rotation is None:
            return False
        self.rotation = rotation
        self._left, self._has_more = len(rotation.ready), False
        if rotation.returned:
            calls = take_queued(rotation.returned, self._missing)
            self.calls = self.calls + calls
            self._missing -= len(calls)
        return True

    def add(self, calls: list[PendingCall]) -> bool:
        """Add calls that were taken; return True when none is missing."""
        count = len(calls)
        self.calls = self.calls + calls if self.calls else calls
        self._missing -= count
        if count == self._share:
            self._has_more = True
        return not self._missing

    def shares(self) -> Iterable[tuple[WorkerState, list[PendingCall]]]:
        """Return each worker's share of the calls: one to each in turn, no more than it has room for."""
        calls, rooms = self.calls, self.rooms
        if not calls:
            return ()
        if len(rooms) == 1 or len(calls) == 1:
            return ((next(iter(rooms)), calls),)
        shares: dict[WorkerState, list[PendingCall]] = {}
        turn = cycle(rooms)
        for call in calls:
            worker = next(turn)
            while len(shares.get(worker, ())) >= rooms[worker]:
                worker = next(turn)
            shares.setdefault(worker, []).append(call)
        return shares.items()


def rooms_of(workers: Iterable[WorkerState]) -> dict[WorkerState, int]:
    """Return the workers that calls may be sent to now, and how many: those with the least to do first."""
    loads: list[tuple[int, int, WorkerState]] = []
    for worker in workers:
        load = len(worker.calls)
        if worker.is_writable and load < worker.window:
            loads.append((load, worker.window - load, worker))
    loads.sort(key=_load)  # so that a call that was revoked does not go where it came from
    return {worker: room for _, room, worker in loads}
