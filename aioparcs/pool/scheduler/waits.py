"""The reason why a pool doesn't go on faster, as text for people."""

from __future__ import annotations

from collections.abc import Collection

from aioparcs.pool.scheduler.rate import TokenBucket
from aioparcs.pool.scheduler.rotation import Rotations
from aioparcs.pool.scheduler.worker_state import WorkerState

__all__ = ["waits"]

# Seconds from which a call is named that takes longer than those before it.
_LONG = 5.0
_LONGEST = 100  # characters of a call's text


def waits(
    workers: Collection[WorkerState],
    rotations: Rotations,
    bucket: TokenBucket | None,
    next_retry: float | None,
    now: float,
) -> str:
    """
    Return what a pool waits for; "" if all workers are busy, or nothing is known to be in the way.

    Args:
        workers: those that are up.
        rotations: the calls that no worker has.
        bucket: the limit of its rate, None for none.
        next_retry: when the first call is made again that has failed, None for none.
        now: the time.
    """
    if slow := _slow_call(workers, now):
        return slow
    idle = [worker for worker in workers if worker.is_idle]
    if not idle:
        return ""
    if stalled := [worker for worker in idle if not worker.is_writable]:
        return f"waits for worker {stalled[0].id} to read what it was sent"
    if rotations.first.has_calls:
        return "waits for its rate limit" if bucket is not None and bucket.next > now else ""
    if next_retry is not None and next_retry > now:
        return f"waits {next_retry - now:.1f} s for a retry"
    reasons = (client.waits for rotation in rotations for client in rotation.clients)
    return next(filter(None, reasons), "")


def _slow_call(workers: Collection[WorkerState], now: float) -> str:
    """Return the call that has run for the longest time, if it takes much longer than those before it in its worker."""
    slow = [worker for worker in workers if worker.calls and worker.age(now) > _LONG and worker.is_slow(now)]
    if not slow:
        return ""
    worker = max(slow, key=lambda worker: worker.age(now))
    call = str(worker.begun[0])[:_LONGEST]
    return f"{call} has run for {worker.age(now):.0f} s in worker {worker.id}"
