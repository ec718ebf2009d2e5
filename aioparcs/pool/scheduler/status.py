"""The status of a scheduler's calls and workers: for reports, for displays, and for the size of its pool."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import NamedTuple

from aioparcs.pool.scheduler.call import CallPhase, PendingCall
from aioparcs.pool.scheduler.returns import ReturnedCalls
from aioparcs.pool.scheduler.rotation import Rotations
from aioparcs.pool.scheduler.rounds import Rounds
from aioparcs.pool.scheduler.worker_state import WorkerState, calls_of

__all__ = ["Load", "SchedulerStatus", "long_calls"]

# Seconds from which a call counts as one that runs for long, and from which one is named that takes longer than those
# before it.
_LONG, _SLOW = 1.0, 5.0
_LONGEST = 100  # characters of a call's text


class Load(NamedTuple):
    """
    What a pool has to do.

    Attributes:
        idle: how many workers could begin a call at once.
        waiting: how many workers more the calls that have not begun would keep busy; None for an unknown number, at
            least one.
    """

    idle: int
    waiting: int | None


class SchedulerStatus:
    """
    Looks at a scheduler's parts, and changes none.

    Args:
        workers: those that are up, by number.
        rotations: the calls that no worker has.
        rounds: counts those that workers have.
        returned: the calls that have come back from workers, and will be made again.

    Attributes:
        workers: those that are up, by number.
    """

    def __init__(
        self, workers: Mapping[int, WorkerState], rotations: Rotations, rounds: Rounds, returned: ReturnedCalls
    ) -> None:
        self.workers = workers
        self._rotations = rotations
        self._rounds = rounds
        self._returned = returned

    @property
    def running(self) -> int:
        """How many calls are with workers."""
        return self._rounds.running

    @property
    def size(self) -> int:
        """The number of workers that get calls."""
        return sum(worker.is_active for worker in self.workers.values())

    @property
    def load(self) -> Load:
        """What the workers have to do."""
        active = [worker for worker in self.workers.values() if worker.is_active]
        idle, waiting = sum(worker.is_idle for worker in active), self._rotations.waiting
        if waiting is None:
            return Load(idle, None)
        own = sum(max(0, len(worker.calls) - worker.concurrency) for worker in active)
        concurrency = max((worker.concurrency for worker in active), default=1)
        return Load(idle, -(-(waiting + own) // concurrency))

    def waits(self, now: float) -> str:
        """Return what the pool waits for, as text for people; "" if all are busy, or nothing known is in the way."""
        workers, bucket, next_retry = self.workers.values(), self._rounds.bucket, self._returned.next_due
        if slow := _slow_call(workers, now):
            return slow
        idle = [worker for worker in workers if worker.is_idle]
        if not idle:
            return ""
        if stalled := [worker for worker in idle if not worker.is_writable]:
            return f"waits for worker {stalled[0].id} to read what it was sent"
        if self._rotations.first.has_calls:
            return "waits for its rate limit" if bucket is not None and bucket.next > now else ""
        if next_retry is not None and next_retry > now:
            return f"waits {next_retry - now:.1f} s for a retry"
        reasons = (client.waits for rotation in self._rotations for client in rotation.clients)
        return next(filter(None, reasons), "")

    def find(self, item: int | None, worker: int | None) -> list[PendingCall]:
        """
        Return calls that have no result yet.

        Args:
            item: the number of the calls' item; None for any.
            worker: the number of the worker that runs them; None for all calls, the returned ones too.
        """
        if worker is None:
            calls = [*calls_of(self.workers.values()), *self._returned]
        else:
            calls = self.workers[worker].begun if worker in self.workers else []
        is_settled = CallPhase.SETTLED, CallPhase.CANCELLED
        return [call for call in calls if item in (None, call.index) and call.phase not in is_settled]


def _slow_call(workers: Collection[WorkerState], now: float) -> str:
    """Return the call that has run for the longest time, if it takes much longer than those before it in its worker."""
    slow = [worker for worker in workers if worker.calls and worker.age(now) > _SLOW and worker.is_slow(now)]
    if not slow:
        return ""
    worker = max(slow, key=lambda worker: worker.age(now))
    call = str(worker.begun[0])[:_LONGEST]
    return f"{call} has run for {worker.age(now):.0f} s in worker {worker.id}"


def long_calls(workers: Iterable[WorkerState], most: int, now: float) -> list[tuple[float, int, PendingCall]]:
    """
    Return the calls that have run for over a second, each behind when it began and its worker's number.

    Args:
        workers: those that are up.
        most: how many calls are returned, those that have run for the longest.
        now: the time.
    """
    calls = [call for worker in workers if worker.calls for call in _calls(worker, now)]
    calls.sort(key=lambda call: call[:2])
    return calls[:most]


def _calls(worker: WorkerState, now: float) -> Iterator[tuple[float, int, PendingCall]]:
    # Of several at once it is known when each was sent, if the pool is traced; else when the worker answered last.
    if worker.concurrency == 1 and worker.age(now) <= _LONG:
        return
    for call in worker.begun:
        begin = getattr(call, "sent", worker.since)
        if now - begin > _LONG:
            yield begin, worker.id, call
