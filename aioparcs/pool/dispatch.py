"""Which worker gets which call."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from typing import Any

from aioparcs.errors import EncodeError, ParcsError, WorkerLost
from aioparcs.pool.member import Member
from aioparcs.pool.work import Client, Work

__all__ = ["Dispatch"]

# Seconds between two looks for calls that wait behind a slow one, or while others have nothing to do.
_PERIOD, _SOON = 0.02, 0.001
# Seconds that a call may wait for its worker before another one that has nothing to do may have it.
_STALE = 0.002


class Dispatch:
    """
    Gives each worker of a pool as many calls as keep it busy, and takes them back from one that is slow.

    Args:
        retries: how often a call whose worker died may be made again.
        settled: called whenever a call is settled, with whether it succeeded.

    Attributes:
        members: the workers that are up.
        running: how many calls are with workers.
    """

    def __init__(self, retries: int, settled: Callable[[bool], None]) -> None:
        self.members: dict[Member, None] = {}
        self.running = 0
        self._retries = retries
        self._settled = settled
        self._loop = asyncio.get_running_loop()
        self._clients: deque[Client] = deque()
        self._returned: deque[Work] = deque()  # calls to be made again, or by others
        self._hungry: dict[Member, None] = {}  # who found nothing to do
        self._timer: asyncio.TimerHandle | None = None
        self._is_over = False

    def add_client(self, client: Client) -> None:
        """Make the calls of a client, in turn with those of others."""
        self._clients.append(client)
        self.pump()

    def drop_client(self, client: Client) -> None:
        """Take no more calls of a client, and take back those that have not begun."""
        with contextlib.suppress(ValueError):  # it is over
            self._clients.remove(client)
        for member in self.members:
            for work in member.waiting:
                if work.client is client:
                    work.withdraw()

    def add(self, member: Member) -> None:
        """Have a worker take part."""
        self.members[member] = self._hungry[member] = None
        self.pump()

    def retire(self, member: Member) -> None:
        """Give a worker no more calls, and take back those that it has not begun."""
        member.is_leaving = True
        self._hungry.pop(member, None)
        for work in member.waiting:
            member.recall(work)

    def remove(self, member: Member, lost: WorkerLost) -> None:
        """Take leave of a worker that is gone, and see to its calls."""
        member.is_leaving = True
        self.members.pop(member, None)
        self._hungry.pop(member, None)
        waiting = list(member.calls.values())
        running = waiting[: member.concurrency]
        self.running -= len(waiting)
        self._returned.extendleft(reversed(waiting[member.concurrency :]))
        for work in running:
            work.losses += 1
            if work.losses <= self._retries:
                self._returned.append(work)
            else:
                self._settle(work, False, lost.at(str(work)))
        member.calls.clear()
        self.pump()

    def pump(self) -> None:
        """Give out calls, one to each worker that has room, until there are none of either."""
        while self._hungry and not self._is_over:
            for member in list(self._hungry):
                work = self._next()
                if work is None:
                    self._look_out(_SOON)
                    return
                if not self._send(member, work) or not member.has_room:
                    self._hungry.pop(member, None)

    def close(self) -> None:
        """Give out no more calls, and cancel whoever waits for results."""
        self._is_over = True
        if self._timer:
            self._timer.cancel()
        for client in self._clients:
            client.cancel()

    def fail(self, error: ParcsError) -> None:
        """Have everybody who waits for results raise an error."""
        self._is_over = True
        for client in self._clients:
            client.fail(error)

    # What members call

    def answered(self, work: Work, ok: bool, value: Any) -> None:
        """Take a result, and give its worker the next call."""
        self.running -= 1
        self._settle(work, ok, value)
        if work.member is not None:
            self._fill(work.member)

    def returned(self, work: Work) -> None:
        """Take a call that was given back before it began."""
        self.running -= 1
        self._returned.append(work)
        self.pump()
        if work.member is not None:
            self._fill(work.member)

    # Inside

    def _settle(self, work: Work, ok: bool, value: Any) -> None:
        if work.is_unwanted:
            return
        if not ok and not isinstance(value, WorkerLost):  # which names its item
            value.add_note(str(work))
        work.client.settle(work, ok, value)
        self._settled(ok)

    def _fill(self, member: Member) -> None:
        while member.has_room and not self._is_over:
            work = self._next()
            if work is None:
                self._hungry[member] = None
                if member.is_idle:
                    self._look_out(_SOON)
                return
            self._send(member, work)

    def _next(self) -> Work | None:
        while self._returned:
            work = self._returned.popleft()
            if not work.is_unwanted:
                return work
        clients = self._clients
        for _ in range(len(clients)):
            client = clients.popleft()
            work_or_none = client.take()
            if work_or_none is not None or not client.is_over:
                clients.append(client)
            if work_or_none is not None:
                return work_or_none
        return None

    def _send(self, member: Member, work: Work) -> bool:
        try:
            member.send(work)
        except EncodeError as error:
            self._settle(work, False, error)
            return True
        except ParcsError:  # it is gone; why is about to be known
            self._returned.appendleft(work)
            member.is_leaving = True
            return False
        self.running += 1
        if self._timer is None:
            self._look_out(_PERIOD)
        return True

    def _look_out(self, pause: float) -> None:
        """Look for calls that wait in the wrong place, after a pause, unless that is due sooner."""
        if self._timer and self._timer.when() <= self._loop.time() + pause:
            return
        if self._timer:
            self._timer.cancel()
        self._timer = self._loop.call_later(pause, self._rebalance) if self.running else None

    def _rebalance(self) -> None:
        """Take calls back from workers that are slow, and for those that have nothing to do."""
        self._timer = None
        idle = sum(member.is_idle for member in self._hungry)
        for member in self.members:
            waiting = member.waiting
            if not waiting:
                continue
            if member.is_slow:
                member.slow_down()
            elif idle and member.age > _STALE:
                waiting = waiting[-idle:]
                idle -= len(waiting)
            else:
                continue
            for work in waiting:
                member.recall(work)
        self._look_out(_PERIOD)
