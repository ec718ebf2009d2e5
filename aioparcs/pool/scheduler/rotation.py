"""The calls that wait in a scheduler, of each priority: those of clients in turn, submitted and returned ones."""

from __future__ import annotations

from bisect import insort
from collections import deque
from collections.abc import Iterator
from weakref import ref

from aioparcs.pool.scheduler.call import CallPhase, Client, PendingCall, Supply, take_queued

__all__ = ["Rotation", "Rotations"]

# Rotations without calls that are kept, at the most: for programs in which each call has a priority of its own.
_KEPT = 32

_CANCELLED = CallPhase.CANCELLED  # members of an Enum are slow to look up
_MORE, _, _OVER = Supply


class Rotation:
    """
    The clients of one priority, in the order in which their calls are taken, and a queue of submitted calls among them.

    Weakly: no calls are made for results that are no longer referenced.

    Args:
        priority: that of all its calls; a higher one comes first.

    Attributes:
        priority: that of all its calls.
        ready: clients that may have more calls, and the queue if it has some.
        submitted: the queue of submitted calls.
        returned: calls that have come back from workers, which are made before all others.
        pulled: the client that is pulled from, None for none.
    """

    __slots__ = ("_exhausted", "priority", "pulled", "ready", "returned", "submitted")

    def __init__(self, priority: int) -> None:
        self.priority = priority
        self.ready: deque[ref[Client] | deque[PendingCall]] = deque()
        self.submitted: deque[PendingCall] = deque()
        self.returned: deque[PendingCall] = deque()
        self.pulled: ref[Client] | None = None
        self._exhausted: deque[ref[Client]] = deque()  # those that had no more calls when they were pulled from

    @property
    def has_calls(self) -> bool:
        """True when it has calls, or a client that may have some."""
        return bool(self.ready or self.returned)

    @property
    def is_unused(self) -> bool:
        """True when it has neither calls nor clients."""
        return not (self.ready or self.returned or self._exhausted or self.pulled)

    @property
    def clients(self) -> list[Client]:
        """The clients that may have more calls, or wait for results."""
        references = [*self.ready, *self._exhausted, self.pulled]
        return [client for one in references if isinstance(one, ref) and (client := one()) is not None]

    @property
    def waiting(self) -> int | None:
        """How many calls it has; None if clients may have some, an unknown number."""
        if any(isinstance(one, ref) for one in self.ready):
            return None
        return sum(call.phase is not _CANCELLED for call in (*self.returned, *self.submitted))

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


class Rotations:
    """
    The rotations of all priorities.

    Attributes:
        usual: that of priority 0.
    """

    __slots__ = ("_all", "_by_priority", "_most", "usual")

    def __init__(self) -> None:
        self.usual = Rotation(0)
        self._all = [self.usual]  # the highest priority first
        self._by_priority = {0: self.usual}
        self._most = _KEPT

    def __iter__(self) -> Iterator[Rotation]:
        return iter(self._all)

    @property
    def first(self) -> Rotation:
        """The one with calls that has the highest priority; the usual one if none has calls."""
        if len(self._all) == 1:
            return self.usual
        return next((rotation for rotation in self._all if rotation.has_calls), self.usual)

    @property
    def waiting(self) -> int | None:
        """How many calls wait; None if clients may have some, an unknown number."""
        total = 0
        for rotation in self._all:
            if (waiting := rotation.waiting) is None:
                return None
            total += waiting
        return total

    @property
    def queued(self) -> int | None:
        """How many calls are in queues, with some that were cancelled; None if clients may have others."""
        total = 0
        for rotation in self._all:
            submitted = len(rotation.submitted)
            if len(rotation.ready) > bool(submitted):
                return None
            total += submitted + len(rotation.returned)
        return total

    def of(self, client: Client) -> Rotation:
        """Return that of a client's priority."""
        rotation = self._by_priority.get(client.priority)
        return self._add(client.priority) if rotation is None else rotation

    def below(self, rotation: Rotation) -> Rotation | None:
        """Return the next one with calls that has a lower priority."""
        if len(self._all) == 1:
            return None
        lower = (one for one in self._all if one.priority < rotation.priority)
        return next((one for one in lower if one.has_calls), None)

    def refill(self) -> None:
        """Put the clients that had no more calls back into the turn; see `Rotation.refill`."""
        for rotation in self._all:
            rotation.refill()

    def _add(self, priority: int) -> Rotation:
        if len(self._all) > self._most:
            self._all = [one for one in self._all if one is self.usual or not one.is_unused]
            self._by_priority = {one.priority: one for one in self._all}
            self._most = 2 * len(self._all) + _KEPT
        rotation = self._by_priority[priority] = Rotation(priority)
        insort(self._all, rotation, key=lambda one: -one.priority)
        return rotation
