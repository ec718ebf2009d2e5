"""The calls that have run for long, the oldest first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from aioparcs.pool.scheduler.call import PendingCall
from aioparcs.pool.scheduler.worker_state import WorkerState

__all__ = ["long_calls"]

# Seconds from which a call counts as one that runs for long.
_LONG = 1.0


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
