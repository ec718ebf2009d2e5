"""The workers of a pool that are up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial

from aioparcs.errors import WorkerLost
from aioparcs.pool.dispatch.performer import Performer
from aioparcs.pool.dispatch.worker import PoolWorker
from aioparcs.pool.observers import CallObserver
from aioparcs.pool.scheduler import Load, Scheduler, WorkerState
from aioparcs.pool.sizing import Autoscaler, Replicas
from aioparcs.task import WorkerHandle
from aioparcs.wire import Frame

__all__ = ["PoolWorkers"]


class PoolWorkers:
    """
    Adds, retires and removes workers, and reports their results.

    Args:
        scheduler: decides which calls they get.
        performer: performs that.
        trace: notes which of them did which calls and when, None if that is not wanted.

    Attributes:
        up: those that are up, by number.
        error: why there are none and will be none, or None.
        waiting_streams: to be set: returns how many workers more streams would keep busy, None for an unknown number.
        on_change: each is called when a worker is there, or when it is sure that there will be none.
    """

    def __init__(self, scheduler: Scheduler, performer: Performer, trace: CallObserver | None) -> None:
        self.up = performer.workers
        self.error: BaseException | None = None
        self.waiting_streams: Callable[[], int | None] = lambda: 0
        self.on_change: list[Callable[[], object]] = []
        self._scheduler = scheduler
        self._performer = performer
        self._perform = performer.perform
        self._trace = trace
        self._now = asyncio.get_running_loop().time

    @property
    def size(self) -> int:
        """The number of workers that get calls."""
        return self._scheduler.status.size

    @property
    def lasting(self) -> int:
        """The number of those that no other is about to replace."""
        return self.size - sum(state.is_expiring for state in self._scheduler.workers.values() if state.is_active)

    @property
    def load(self) -> Load:
        """What there is to do."""
        load, streams = self._scheduler.status.load, self.waiting_streams()
        if load.waiting is None or streams is None:
            return load._replace(waiting=None)
        return load._replace(waiting=load.waiting + streams)

    @property
    def idle_deaths(self) -> int:
        """The number of workers that have died without a call since the last result."""
        return self._scheduler.idle_deaths

    def add(self, worker: PoolWorker) -> None:
        """Add a worker that is ready for calls."""
        self.up[worker.id] = worker
        if self._trace:
            worker.spans = self._trace.worker_spans(worker.id, is_linked=worker.makes_spans)
        worker.task.channel.calls.set_result_handler(partial(self._answered, worker))
        self._perform(self._scheduler.add_worker(worker.state, self._now()))
        self._notify()

    def retire_surplus(self, replicas: Replicas) -> list[PoolWorker]:
        """Send calls to the wanted workers only; return the others, whose ``drained`` is set when they have none."""
        surplus = replicas.surplus(self._scheduler.workers.values())
        return self._retire(surplus)

    def retire_idle(self, autoscaler: Autoscaler, wanted: int) -> list[PoolWorker]:
        """Send no calls to workers that have had none for long; return them, as `retire_surplus` does."""
        return self._retire(autoscaler.surplus(self._scheduler.workers.values(), wanted, self._now()))

    def expire(self, worker: PoolWorker) -> None:
        """Set ``expired`` of a worker that is to be replaced."""
        if worker.id in self.up:
            self._perform(self._scheduler.expire(worker.id))

    def retire(self, worker: PoolWorker) -> bool:
        """Send a worker no more calls; ``drained`` is set when it has none. Return False if it is gone already."""
        if worker.id not in self.up:
            return False
        self._perform(self._scheduler.retire(worker.id))
        return True

    def remove(self, worker: PoolWorker, lost: WorkerLost) -> None:
        """Remove a worker that is gone; its calls are made again, or fail."""
        # Without an exit status its launcher is gone too, and with it the results that it had made and not sent.
        has_status = lost.exitcode is not None or lost.signal is not None
        unsent = worker.read_unsent(lost) if has_status else None
        worker.close_spans(lost, unsent)
        state = worker.state
        begin, now = state.since, self._now()
        actions = self._scheduler.lose(worker.id, lost, unsent, now)
        try:
            if self._trace:
                self._trace.answered(state, begin, now, actions)
        finally:  # a call whose result is taken has to be settled
            self._perform(actions)
            self.up.pop(worker.id, None)

    def fail(self, error: BaseException) -> None:
        """Raise an error in all coroutines that wait for results: there are no workers, and there will be none."""
        self.error = error
        for client in self._performer.stop():
            client.fail(error)
        self._notify()

    def clear(self) -> set[WorkerHandle]:
        """Forget all workers; return those that run calls."""
        busy = {worker.task for worker in self.up.values() if worker.state.calls or worker.state.streams}
        error = asyncio.CancelledError("its pool was left")
        for worker in self.up.values():
            worker.close_spans(error)
            if self._trace:
                self._cut_short(worker.state, self._trace, error)
        self._scheduler.workers.clear()
        self.up.clear()
        return busy

    def _cut_short(self, worker: WorkerState, trace: CallObserver, error: BaseException) -> None:
        """Note that all calls of a worker are cancelled now: none of them will be answered."""
        now = self._now()
        for call in worker.unsettled:
            trace.cancelled(worker, call, now, error)
        worker.calls.clear()
        trace.answered(worker, worker.since, now, [])

    def _notify(self) -> None:
        """Call what waits for workers."""
        for notice in list(self.on_change):
            notice()

    def _retire(self, numbers: list[int]) -> list[PoolWorker]:
        for number in numbers:
            self._perform(self._scheduler.retire(number))
        return [self.up[number] for number in numbers]

    def _answered(self, worker: PoolWorker, frames: Sequence[Frame | bytes]) -> None:
        if worker.id in self._scheduler.workers:  # or its loss was reported: what it had went to others
            state = worker.state
            state.is_writable = worker.is_writable
            begin, now = state.since, self._now()
            actions = self._scheduler.answered(worker.id, worker.read(frames), now)
            try:
                if self._trace is not None and (state.tally is None or not state.tally.has_last):
                    self._trace.answered(state, begin, now, actions)
            finally:  # a call whose result is taken has to be settled
                self._perform(actions)
