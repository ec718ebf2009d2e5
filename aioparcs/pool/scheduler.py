"""The scheduler of a pool: the choice of the worker for each call."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Mapping
from itertools import cycle
from weakref import ref

from aioparcs.errors import ParcsError, WorkerLost
from aioparcs.pool.call import Client, PendingCall, take_wanted
from aioparcs.pool.worker import PoolWorker, Settled

__all__ = ["Scheduler"]

# Seconds between two looks for calls that wait behind a slow one, or while others have nothing to do.
_PERIOD, _SOON = 0.02, 0.001
# Seconds that a call may wait for its worker before another one that has nothing to do may have it.
_STALE = 0.002


class Scheduler:
    """
    Sends each worker of a pool as many calls as keep it busy, and takes them back from one that is slow.

    Args:
        retries: how often a call whose worker died may be made again.
        settled: called with how many calls were settled, and how many of them have failed.

    Attributes:
        members: the workers that are up.
        running: how many calls are with workers.
    """

    def __init__(self, retries: int, settled: Callable[[int, int], None]) -> None:
        self.members: dict[PoolWorker, None] = {}
        self.running = 0
        self._retries = retries
        self._settled = settled
        self._loop = asyncio.get_running_loop()
        # Weakly: no calls are made for results that are not referenced any more.
        self._clients: deque[ref[Client]] = deque()
        self._returned: deque[PendingCall] = deque()  # calls to be made again, or by others
        self._losses: dict[PendingCall, int] = {}  # workers that have died of a call
        self._hungry: dict[PoolWorker, None] = {}  # workers that have room for more calls
        self._timer: asyncio.TimerHandle | None = None
        self._is_pumping = self._is_pump_due = False
        self._is_over = False

    def add_client(self, client: Client) -> None:
        """Add a client, whose calls are made in turn with those of others."""
        self._clients.append(ref(client))
        self.schedule()

    def drop_client(self, client: Client) -> None:
        """Remove a client: no more of its calls are made, and those that workers have are taken back."""
        with contextlib.suppress(ValueError):  # it is over
            self._clients.remove(ref(client))
        for work in [*self._returned, *(work for member in self.members for work in member.calls.values())]:
            if work.client is client:
                work.cancel()

    def add(self, member: PoolWorker) -> None:
        """Add a worker."""
        self.members[member] = self._hungry[member] = None
        self.schedule()

    def retire(self, member: PoolWorker) -> None:
        """Send a worker no more calls, and take back those that it has not begun."""
        member.is_leaving = True
        self._hungry.pop(member, None)
        member.revoke(member.waiting)

    def remove(self, member: PoolWorker, lost: WorkerLost) -> None:
        """Remove a worker that is gone, and reschedule or fail its calls."""
        self.members.pop(member, None)
        self._hungry.pop(member, None)
        begun = dict.fromkeys(member.begun)
        works = member.gone()
        self.running -= len(works)
        self._returned.extendleft(reversed([work for work in works if work not in begun]))
        for work in begun:
            self._losses[work] = losses = self._losses.get(work, 0) + 1
            if losses <= self._retries:
                self._returned.append(work)
            else:
                self._settle([(work, False, lost.at(str(work)))])
        self.schedule()

    def schedule(self) -> None:
        """Send calls to the workers that have room, to each in turn."""
        self._is_pump_due = True
        if self._is_pumping:  # called while items are produced: repeat when this round is done
            return
        self._is_pumping = True
        try:
            while self._is_pump_due and not self._is_over:
                self._is_pump_due = False
                self._hand_out()
        finally:
            self._is_pumping = False
        if self._hungry:
            self._look_out(_SOON)

    def close(self) -> None:
        """Send no more calls, and cancel all waits for results."""
        self._is_over = True
        if self._timer:
            self._timer.cancel()
        for client in self._living():
            client.cancel()

    def fail(self, error: BaseException) -> None:
        """Raise an error in all coroutines that wait for results."""
        self._is_over = True
        for client in self._living():
            client.fail(error)

    # What members call

    def answered(self, member: PoolWorker, settled: list[Settled]) -> None:
        """Accept results, and send their worker the next calls."""
        self.running -= len(settled)
        self._settle(settled)
        self._fill(member)

    def returned(self, member: PoolWorker, works: list[PendingCall]) -> None:
        """Accept calls that a worker returned before they began."""
        self.running -= len(works)
        self._returned.extend(works)
        self.schedule()

    # Inside

    def _living(self) -> list[Client]:
        return [client for one in self._clients if (client := one()) is not None]

    def _hand_out(self) -> None:
        # Those with the least to do first: a call that was taken back must not go where it came from.
        rooms = {member: member.room for member in sorted(self._hungry, key=lambda member: len(member.calls))}
        works = self._take(sum(room for room in rooms.values() if room > 0))
        for member, share in _round_robin(works, rooms).items():
            if len(share) == rooms[member]:
                self._hungry.pop(member, None)
            self._send(member, share)

    def _settle(self, settled: list[Settled]) -> None:
        clients: set[Client] = set()
        count = failures = 0
        for work, ok, value in settled:
            if self._losses:
                self._losses.pop(work, None)
            if work.is_cancelled:
                continue
            if not ok:
                failures += 1
                if not isinstance(value, WorkerLost):  # which names its item
                    value.add_note(str(work))
            client = work.client
            client.settle(work, ok, value)
            clients.add(client)
            count += 1
        for client in clients:
            client.wake()
        if count:
            self._settled(count, failures)

    def _fill(self, member: PoolWorker) -> None:
        room = member.room
        if room <= 0 or self._is_over:
            return
        works = self._take(room)
        if len(works) < room:
            self._hungry[member] = None
            if member.is_idle and not works:
                self._look_out(_SOON)
        if works:
            self._send(member, works)

    def _take(self, most: int) -> list[PendingCall]:
        """Return the next calls: returned ones first, then those of the clients in turn."""
        works = take_wanted(self._returned, most)
        before = -1
        while before < len(works) < most:  # again: some have fewer than their share, others more
            before = len(works)
            self._fair_share(works, most)
        return works

    def _fair_share(self, works: list[PendingCall], most: int) -> None:
        """Add an equal share of the missing calls from each client."""
        clients = self._clients
        for left in range(len(clients), 0, -1):
            missing = most - len(works)
            if not missing:
                return
            reference = clients.popleft()
            client = reference()
            if client is None:
                continue
            works += client.take(-(-missing // left))
            if not client.is_over:
                clients.append(reference)

    def _send(self, member: PoolWorker, works: list[PendingCall]) -> None:
        try:
            rejected = member.send(works)
        except ParcsError:  # it is gone; the reason is about to be known
            self._returned.extendleft(reversed(works))
            member.is_leaving = True
            self._hungry.pop(member, None)
            return
        self.running += len(works) - len(rejected)
        if rejected:
            self._settle(rejected)
            if member.room > 0:
                self._hungry[member] = None
                self._loop.call_soon(self.schedule)
        if self._timer is None:
            self._look_out(_PERIOD)

    def _look_out(self, pause: float) -> None:
        """Schedule `_rebalance` after a pause, unless it is due sooner."""
        if self._timer and self._timer.when() <= self._loop.time() + pause:
            return
        if self._timer:
            self._timer.cancel()
        self._timer = self._loop.call_later(pause, self._rebalance) if self.running else None

    def _rebalance(self) -> None:
        """Recall calls from slow workers, and for workers that have nothing to do."""
        self._timer = None
        idle = sum(member.is_idle for member in self._hungry)
        for member in self.members:
            waiting = member.waiting
            if not waiting:
                continue
            if member.is_slow:
                member.stop_prefetch()
            elif idle and member.age > _STALE:
                waiting = waiting[-idle:]
                idle -= len(waiting)
            else:
                continue
            member.revoke(waiting)
        self._look_out(_PERIOD)


def _round_robin(works: list[PendingCall], rooms: Mapping[PoolWorker, int]) -> dict[PoolWorker, list[PendingCall]]:
    """Return each worker's share of some calls: one to each in turn, no more than it has room for."""
    shares: dict[PoolWorker, list[PendingCall]] = {}
    if not works:
        return shares
    turn = cycle(list(rooms))
    for work in works:
        member = next(turn)
        while len(shares.get(member, ())) >= rooms[member]:
            member = next(turn)
        shares.setdefault(member, []).append(work)
    return shares
