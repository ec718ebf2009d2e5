"""Rounds of a scheduler: calls are taken from clients in turn, and dealt to workers in turn."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from itertools import cycle
from operator import itemgetter
from weakref import ref

from aioparcs.pool.scheduler.actions import Pull
from aioparcs.pool.scheduler.call import CallPhase, Client, PendingCall, Supply, take_queued
from aioparcs.pool.scheduler.worker_state import WorkerState

__all__ = ["Rotation", "Round", "rooms_of"]

_load = itemgetter(0)
_new = tuple.__new__  # a named tuple without the detour through its own constructor
_CANCELLED = CallPhase.CANCELLED
_MORE, _, _OVER = Supply  # members of an Enum are slow to look up


class Rotation:
    """
    The clients of a pool, in the order in which their calls are taken, and a queue of submitted calls among them.

    Weakly: no calls are made for results that are no longer referenced.

    Attributes:
        ready: clients that may have more calls, and the queue if it has some.
        submitted: the queue of submitted calls.
        pulled: the client that is pulled from, None for none.
    """

    __slots__ = ("_exhausted", "pulled", "ready", "submitted")

    def __init__(self) -> None:
        self.ready: deque[ref[Client] | deque[PendingCall]] = deque()
        self.submitted: deque[PendingCall] = deque()
        self.pulled: ref[Client] | None = None
        self._exhausted: deque[ref[Client]] = deque()  # those that had no more calls when they were pulled from

    @property
    def clients(self) -> list[Client]:
        """The clients that may have more calls, or wait for results."""
        references = [*self.ready, *self._exhausted, self.pulled]
        return [client for one in references if isinstance(one, ref) and (client := one()) is not None]

    def count_waiting(self, queue: Iterable[PendingCall]) -> int | None:
        """Return how many calls wait here or in a queue; None if clients have more, an unknown number."""
        if any(isinstance(one, ref) for one in self.ready):
            return None
        return sum(call.phase is not _CANCELLED for call in (*queue, *self.submitted))

    def add(self, client: Client) -> None:
        """Add a client."""
        self.ready.append(ref(client))

    def remove(self, client: Client) -> None:
        """Remove a client, if it is still there."""
        reference = ref(client)
        if reference in self.ready:
            self.ready.remove(reference)
        if reference in self._exhausted:
            self._exhausted.remove(reference)

    def submit(self, call: PendingCall) -> None:
        """Add a call to the queue."""
        if not self.submitted:
            self.ready.append(self.submitted)
        self.submitted.append(call)

    def take_submitted(self, most: int) -> list[PendingCall]:
        """Return the first calls of the queue, whose turn it is."""
        self.ready.popleft()
        calls = take_queued(self.submitted, most)
        if self.submitted:
            self.ready.append(self.submitted)
        return calls

    def refill(self) -> None:
        """Put the clients that had no more calls back into the turn: they may have some now."""
        if self._exhausted:
            self.ready += self._exhausted
            self._exhausted.clear()

    def begin_pull(self) -> Client | None:
        """Return the client whose turn it is; it is out of the turn until `end_pull`."""
        reference = self.ready.popleft()
        assert isinstance(reference, ref)
        client = reference()
        self.pulled = None if client is None else reference
        return client

    def end_pull(self, supply: Supply) -> None:
        """Put the client that was pulled from back into the turn, according to what it has left."""
        if self.pulled is not None and supply is not _OVER:
            (self.ready if supply is _MORE else self._exhausted).append(self.pulled)
        self.pulled = None


class Round:
    """
    Calls that are collected for some workers.

    Args:
        rooms: the workers, and how many calls each has room for.
        wanted: the sum of their rooms.
        calls: calls that come first, no more than are wanted.
        clients: how many clients may have more.
        is_poll: True when nothing but a `Scheduler.tick` has begun it: if it finds no calls, the next may come late.
    """

    __slots__ = ("_has_more", "_left", "_missing", "_share", "calls", "is_poll", "rooms")

    def __init__(
        self, rooms: dict[WorkerState, int], wanted: int, calls: list[PendingCall], clients: int, is_poll: bool
    ) -> None:
        self.rooms = rooms
        self.calls = calls
        self.is_poll = is_poll
        self._missing = wanted - len(calls)
        self._left = clients  # those that were not pulled from in this pass
        self._has_more = False  # True when one of those that were gave all that it was asked for
        self._share = 0  # how many calls the one that is pulled from is asked for

    def next_pull(self, rotation: Rotation) -> Pull | None:
        """Return what to pull, an equal share of the missing calls from each client; None when that was done."""
        ready = rotation.ready
        while self._missing > 0 and ready:
            if not self._left:
                if not self._has_more:
                    return None
                self._left, self._has_more = len(ready), False  # again: some had fewer than their share, others more
            self._share = -(-self._missing // self._left)
            self._left -= 1
            if ready[0] is rotation.submitted:
                self.add(rotation.take_submitted(self._share))
            elif (client := rotation.begin_pull()) is not None:
                return _new(Pull, (client, self._share))
        return None

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
