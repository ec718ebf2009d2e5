"""Rounds of a scheduler: calls are taken from clients in turn, and dealt to workers in turn."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable
from itertools import cycle
from operator import itemgetter

from aioparcs.pool.scheduler.actions import Agenda, Assign, Pull
from aioparcs.pool.scheduler.call import PendingCall, Supply, take_queued
from aioparcs.pool.scheduler.hedging import Hedging
from aioparcs.pool.scheduler.rate import TokenBucket
from aioparcs.pool.scheduler.rotation import Rotation, Rotations
from aioparcs.pool.scheduler.worker_state import WorkerPhase, WorkerState

__all__ = ["Round", "Rounds", "rooms_of"]

# Seconds to the first look for calls that wait behind a slow one, after an event that leaves room.
_SOON = 0.001

_load = itemgetter(0)
_ACTIVE = WorkerPhase.ACTIVE  # members of an Enum are slow to look up
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
        if worker.is_writable and load < (size := worker.window.size):
            loads.append((load + worker.streams, size - load, worker))
    loads.sort(key=_load)  # so that a call that was revoked does not go where it came from
    return {worker: room for _, room, worker in loads}


class Rounds:
    """
    Assigns calls to the workers that have room, one round after the other.

    Args:
        agenda: gets the actions.
        rotations: has the calls.
        bucket: says how many may begin, None for any number.

    Attributes:
        bucket: the same.
        unsaturated: the workers that have room for more calls.
        running: how many calls are with workers.
        unsent: how many assignments were not reported.
        is_closed: to be set to True when no more calls shall be assigned.
        current: the round that calls are collected for, None for none.
    """

    def __init__(self, agenda: Agenda, rotations: Rotations, bucket: TokenBucket | None) -> None:
        self.unsaturated: dict[WorkerState, None] = {}
        self.running = 0
        self.unsent = 0
        self.is_closed = False
        self.current: Round | None = None
        self._idle: dict[WorkerState, None] = {}  # may have nothing to do since they answered, the last one last
        self._due: deque[WorkerState | None] = deque()  # for one worker, or for all that are unsaturated
        self._agenda = agenda
        self._rotations = rotations
        self.bucket = bucket

    def add(self) -> None:
        """Add a round for all workers that have room, unless it would do nothing."""
        if (self.unsaturated or self.current is not None) and None not in self._due and not self.is_closed:
            self._due.append(None)

    def remove_worker(self, worker: WorkerState) -> None:
        """Remove a worker, if it is there."""
        self.unsaturated.pop(worker, None)
        self._idle.pop(worker, None)

    def add_for(self, worker: WorkerState, now: float) -> None:
        """Add a round for a worker that has answered, or begin it if no other is due."""
        if not worker.calls:
            self._idle[worker] = None
        if self._due or self.current is not None:
            self._due.append(worker)
        else:
            self._begin(worker, now)

    def poll(self, now: float) -> None:
        """Begin a round for all workers that have room, because of nothing but the time."""
        if self.unsaturated and self.current is None and self._rotations.first.has_calls:
            self._begin(None, now, is_poll=True)

    def assign_copies(self, hedging: Hedging, workers: Collection[WorkerState], now: float) -> None:
        """
        Assign copies of calls that take long to workers that have nothing to do, while nothing else waits.

        Those on another node come first: what delays the call may be its node.
        """
        idle = [worker for worker in self.unsaturated if worker.is_idle and worker.is_writable]
        if not idle or self.current is not None or self.unsent or self.is_closed or self._rotations.first.has_calls:
            return
        tokens = len(idle) if self.bucket is None else self.bucket.available(now)
        stragglers = hedging.stragglers(workers, now)[:tokens]
        nodes = {worker.id: worker.node for worker in workers} if stragglers else {}
        for call in stragglers:
            others = [worker for worker in idle if worker.id != call.worker]
            if not others:
                continue
            worker = next((other for other in others if other.node != nodes[call.worker]), others[0])
            idle.remove(worker)
            if self.bucket is not None:
                self.bucket.take(1, now)
            self.unsent += 1
            self._agenda.actions.append(Assign(worker.id, [hedging.copy(call)]))

    def pulled(self, calls: list[PendingCall], supply: Supply, now: float) -> None:
        """Accept the calls of the client that was to be pulled from, and whether it has more."""
        current = self.current
        assert current is not None
        current.rotation.end_pull(supply)
        if current.add(calls):
            self._finish(current, now)

    def advance(self, now: float) -> None:
        """Go on with the round, and begin those that are due, until something must be done first."""
        while (current := self.current) is not None or self._due:
            if self.unsent or (current is not None and current.rotation.pulled is not None):
                break
            if current is None:
                self._begin(self._due.popleft(), now)
            elif (pull := current.next_pull()) is not None:
                self._agenda.actions.append(pull)
                break
            else:
                self._finish(current, now)

    def close(self) -> None:
        """Assign no more calls."""
        self.is_closed = True
        self._due.clear()

    def _begin(self, worker: WorkerState | None, now: float, *, is_poll: bool = False) -> None:
        if self.is_closed:
            return
        if worker is None:
            self._rotations.refill()
            rooms = self._idle_rooms(self._rotations.queued) or rooms_of(self.unsaturated)
            wanted = sum(rooms.values())
        else:
            wanted = worker.window.size - len(worker.calls)
            if wanted <= 0 or worker.phase is not _ACTIVE:
                return
            self.unsaturated[worker] = None
            if not worker.is_writable:
                return
            rooms = {worker: wanted}
        rotation = self._rotations.first
        if self.bucket is not None and wanted:
            tokens = self.bucket.available(now)
            if not tokens:
                if rotation.has_calls:
                    self._agenda.wake_by(self.bucket.next)
                return
            wanted = min(wanted, tokens)
        if wanted and (rotation.ready or rotation.returned):
            self.current = Round(self._rotations, rotation, rooms, wanted, is_poll)
        elif not self.running or (is_poll and all(worker.is_writable for worker in self.unsaturated)):
            return  # answers make room
        elif worker is None or len(worker.calls) < worker.concurrency:
            self._agenda.wake_by(now + _SOON)

    def _idle_rooms(self, calls: int | None) -> dict[WorkerState, int]:
        """Return a worker with nothing to do for each of some calls, if there are so many; see `rooms_of`."""
        rooms: dict[WorkerState, int] = {}
        if calls and calls <= len(self._idle):
            for worker in reversed(self._idle):  # what the last one needs may still be in a processor's cache
                if worker.is_writable and not worker.calls and not worker.streams and (size := worker.window.size) > 0:
                    rooms[worker] = size
                    if len(rooms) == calls:
                        return rooms
        return {}

    def _finish(self, current: Round, now: float) -> None:
        """Assign the calls that were collected; look soon for others to give to those who have room for more."""
        self.current = None
        if self.bucket is not None and current.calls:
            self.bucket.take(len(current.calls), now)
        for worker, share in current.shares():
            self.unsent += 1
            self._agenda.actions.append(_new(Assign, (worker.id, share)))
            self._idle.pop(worker, None)
            if len(share) == current.rooms[worker]:
                self.unsaturated.pop(worker, None)
        if self.unsaturated and (current.calls or (self.running and not current.is_poll)):
            self._agenda.wake_by(now + _SOON)
