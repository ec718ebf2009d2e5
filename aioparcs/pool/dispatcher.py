"""The dispatcher of a pool: it performs what the scheduler decides, on clients, workers and the clock."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from aioparcs.channel import CallStream
from aioparcs.errors import ParcsError, WorkerLost, call_text
from aioparcs.pool.observers import CallObserver
from aioparcs.pool.progress import Progress
from aioparcs.pool.scheduler import (
    Action,
    Assign,
    Autoscaler,
    Cancel,
    Client,
    Drained,
    Expire,
    Load,
    PendingCall,
    Pull,
    Repeat,
    Replicas,
    Revoke,
    Scheduler,
    Settle,
    Wake,
    WorkerState,
)
from aioparcs.pool.worker import PoolWorker, annotate
from aioparcs.task import WorkerHandle
from aioparcs.wire import Frame

__all__ = ["Dispatcher"]


class Dispatcher:
    """
    Reports to a pool's scheduler what happens, and performs its actions.

    Args:
        scheduler: decides.
        progress: counts the calls that are settled.
        trace: notes which workers did which calls and when, None if that is not wanted.

    Attributes:
        workers: the workers that are up, by number.
        error: why there are no workers and will be none, or None.
        waiting_streams: to be set: returns how many workers more streams would keep busy, None for an unknown number.
        on_workers: each is called when a worker is there, or when it is sure that there will be none.
    """

    def __init__(self, scheduler: Scheduler, progress: Progress, trace: CallObserver | None = None) -> None:
        self.workers: dict[int, PoolWorker] = {}
        self.error: BaseException | None = None
        self.waiting_streams: Callable[[], int | None] = lambda: 0
        self.on_workers: list[Callable[[], object]] = []
        self._scheduler = scheduler
        self._progress = progress
        self._trace = trace
        self._loop = asyncio.get_running_loop()
        self._now = self._loop.time
        self._timer: asyncio.TimerHandle | None = None
        self._actions: list[Action] = []
        self._is_performing = False
        self._performers: dict[type[Action], Callable[[Any], None]] = {
            Pull: self._pull,
            Assign: self._assign,
            Settle: self._settle,
            Repeat: self._repeat,
            Wake: self._wake,
            Revoke: self._revoke,
            Cancel: self._cancel,
            Drained: lambda action: self.workers[action.worker].drained.set(),
            Expire: lambda action: self.workers[action.worker].expired.set(),
        }

    @property
    def size(self) -> int:
        """The number of workers that get calls."""
        return self._scheduler.size

    @property
    def lasting(self) -> int:
        """The number of those that no other is about to replace."""
        return self.size - sum(state.is_expiring for state in self._scheduler.workers.values() if state.is_active)

    @property
    def load(self) -> Load:
        """What there is to do."""
        load, streams = self._scheduler.load, self.waiting_streams()
        if load.waiting is None or streams is None:
            return load._replace(waiting=None)
        return load._replace(waiting=load.waiting + streams)

    @property
    def idle_deaths(self) -> int:
        """The number of workers that have died without a call since the last result."""
        return self._scheduler.idle_deaths

    # Clients

    def add_client(self, client: Client) -> None:
        """Add a client, whose calls are made in turn with those of others."""
        if self._trace:
            self._trace.added(client)
        self._perform(self._scheduler.add_client(client, self._now()))

    def drop_client(self, client: Client) -> None:
        """Remove a client: no more of its calls are made, and those that workers have are cancelled."""
        self._perform(self._scheduler.drop_client(client))

    def submit(self, call: PendingCall) -> None:
        """Queue a call, which takes turns with those of clients."""
        if self._trace:
            self._trace.submitted(call)
        self._perform(self._scheduler.submit(call, self._now()))

    def schedule(self) -> None:
        """Send calls that clients may have now to workers that have room."""
        self._perform(self._scheduler.schedule(self._now()))

    def cancel(self, call: PendingCall) -> None:
        """Discard a call's result: it is not made if it has not begun, and stopped if it can be."""
        self._perform(self._scheduler.cancel(call))

    def abort(self, call: PendingCall, error: ParcsError) -> None:
        """Settle a call with an error: it is not made if it has not begun, and stopped if it can be."""
        self._perform(self._scheduler.abort(call, error))

    def close(self) -> None:
        """Send no more calls, and cancel all waits for results."""
        for client in self._stop():
            client.cancel()

    def fail(self, error: BaseException) -> None:
        """Raise an error in all coroutines that wait for results: there are no workers, and there will be none."""
        self.error = error
        for client in self._stop():
            client.fail(error)
        self._notify()

    # Workers

    def add_worker(self, worker: PoolWorker) -> None:
        """Add a worker that is ready for calls."""
        self.workers[worker.id] = worker
        if self._trace:
            worker.spans = self._trace.worker_spans(worker.id, is_linked=worker.makes_spans)
        worker.task.channel.calls.set_result_handler(partial(self._answered, worker))
        state = WorkerState(worker.id, worker.concurrency, worker.coroutines, worker.max_calls)
        self._perform(self._scheduler.add_worker(state, self._now()))
        self._notify()

    def least_busy(self) -> list[PoolWorker]:
        """Return the workers that may get a stream, those with the least to do first."""
        states = [state for state in self._scheduler.workers.values() if state.has_room_for_stream]
        now = self._now()
        states.sort(key=lambda state: state.stream_load(now))
        return [self.workers[state.id] for state in states]

    def reserve(self) -> float:
        """Return how many seconds to wait for before a stream may begin, which counts as a call."""
        return self._scheduler.reserve(self._now()) - self._now()

    def open_stream(
        self, worker: PoolWorker, name: str, args: Sequence[Any], kwargs: Mapping[str, Any], limit: float | None
    ) -> CallStream:
        """
        Call a function of a worker for its items, beside its calls.

        Raises:
            EncodeError: its arguments can't be sent.
            ParcsError: the worker's connection has ended.
        """
        text = partial(call_text, -1, name, args, kwargs)
        end = partial(self._end_stream, worker, name, self._now(), text)
        stream = worker.open_stream(name, args, kwargs, limit, end)
        self._scheduler.idle_deaths = 0
        self._perform([*self._scheduler.workers[worker.id].add_stream()])
        return stream

    def _end_stream(
        self, worker: PoolWorker, name: str, begin: float, text: Callable[[], str], stream: CallStream
    ) -> None:
        worker.end_stream(stream)
        if self._trace:
            self._trace.ended(worker.id, name, begin, self._now(), stream.error, text)
        if state := self._scheduler.workers.get(worker.id):
            state.remove_stream(self._now())

    def retire_surplus(self, replicas: Replicas) -> list[PoolWorker]:
        """Send calls to the wanted workers only; return the others, whose ``drained`` is set when they have none."""
        surplus = replicas.surplus(self._scheduler.workers.values())
        return self._retire(surplus)

    def retire_idle(self, autoscaler: Autoscaler, wanted: int) -> list[PoolWorker]:
        """Send no calls to workers that have had none for long; return them, as `retire_surplus` does."""
        return self._retire(autoscaler.surplus(self._scheduler.workers.values(), wanted, self._now()))

    def expire(self, worker: PoolWorker) -> None:
        """Set ``expired`` of a worker that is to be replaced."""
        if worker.id in self.workers:
            self._perform(self._scheduler.expire(worker.id))

    def retire(self, worker: PoolWorker) -> bool:
        """Send a worker no more calls; ``drained`` is set when it has none. Return False if it is gone already."""
        if worker.id not in self.workers:
            return False
        self._perform(self._scheduler.retire(worker.id))
        return True

    def remove_worker(self, worker: PoolWorker, lost: WorkerLost) -> None:
        """Remove a worker that is gone; its calls are made again, or fail."""
        # Without an exit status its launcher is gone too, and with it the results that it had made and not sent.
        has_status = lost.exitcode is not None or lost.signal is not None
        unsent = worker.read_unsent() if has_status else None
        worker.close_spans(lost, unsent)
        state = self._scheduler.workers[worker.id]
        begin, now = state.since, self._now()
        actions = self._scheduler.lose(worker.id, lost, unsent, now)
        try:
            if self._trace:
                self._trace.answered(state, begin, now, actions)
        finally:  # a call whose result is taken has to be settled
            self._perform(actions)
            self.workers.pop(worker.id, None)

    def clear(self) -> set[WorkerHandle]:
        """Forget all workers; return those that run calls."""
        busy = {
            self.workers[state.id].task for state in self._scheduler.workers.values() if state.calls or state.streams
        }
        for worker in self.workers.values():
            worker.close_spans(asyncio.CancelledError("its pool was left"))
        self._scheduler.workers.clear()
        self.workers.clear()
        return busy

    def _notify(self) -> None:
        """Call what waits for workers."""
        for notice in list(self.on_workers):
            notice()

    def _retire(self, numbers: list[int]) -> list[PoolWorker]:
        for number in numbers:
            self._perform(self._scheduler.retire(number))
        return [self.workers[number] for number in numbers]

    def _answered(self, worker: PoolWorker, frames: Sequence[Frame | bytes]) -> None:
        if state := self._scheduler.workers.get(worker.id):  # or its loss was reported: what it had went to others
            state.is_writable = worker.is_writable
            begin, now = state.since, self._now()
            actions = self._scheduler.answered(worker.id, worker.read(frames), now)
            try:
                if self._trace is not None and (state.tally is None or not state.tally.has_last):
                    self._trace.answered(state, begin, now, actions)
            finally:  # a call whose result is taken has to be settled
                self._perform(actions)

    # Inside: actions

    def _stop(self) -> list[Client]:
        """Send no more calls; return the clients that wait for results."""
        clients = self._scheduler.close()
        self._perform([Wake(None)])
        return clients

    def _perform(self, actions: list[Action]) -> None:
        self._actions += actions
        if self._is_performing:  # an action has made an event, as when a source of items submits calls
            return
        self._is_performing = True
        performers = self._performers
        rest: Iterator[Action] = iter(())
        try:
            while actions := self._actions:
                self._actions = []
                for action in (rest := iter(actions)):
                    performers[type(action)](action)
        except BaseException:
            self._actions = [*rest, *self._actions]
            self._loop.call_soon(self._perform, [])
            raise
        finally:
            self._is_performing = False

    def _pull(self, action: Pull) -> None:
        client, most = action
        calls = client.take(most)
        self._actions += self._scheduler.pulled(calls, client.supply, self._now())

    def _revoke(self, action: Revoke) -> None:
        self.workers[action.worker].revoke(action.calls)

    def _cancel(self, action: Cancel) -> None:
        self.workers[action.worker].cancel(action.call)

    def _assign(self, action: Assign) -> None:
        number, calls = action
        worker, begin = self.workers[number], self._now()
        try:
            rejected = worker.post(calls)
        except BaseException as error:
            self._actions += self._scheduler.disconnected(number, calls, self._now())
            if isinstance(error, ParcsError):  # it is gone; the reason is about to be known
                return
            worker.task.abort()  # some of the calls may be on their way to it: others make them
            raise
        if self._trace and worker.concurrency > 1:
            self._trace.sent([call for call in calls if call.served in worker.coroutines], begin)
        if not worker.is_writable:
            self._scheduler.workers[number].is_writable = False
        self._actions += self._scheduler.sent(number, calls, rejected, self._now())

    def _repeat(self, action: Repeat) -> None:
        number, call, error = action
        annotate(self.workers.get(number), call, error)
        self._progress.repeated()

    def _settle(self, action: Settle) -> None:
        number, client, outcomes, failures = action
        for call, _, error in failures:
            annotate(self.workers.get(number), call, error)
        client.settle(outcomes)
        self._progress.settled(len(outcomes), len(failures))

    def _wake(self, action: Wake) -> None:
        if self._timer:
            self._timer.cancel()
        self._timer = None if action.when is None else self._loop.call_at(action.when, self._tick)

    def _tick(self) -> None:
        self._timer = None
        needs_nodes = self._scheduler.needs_nodes
        for state in self._scheduler.workers.values():
            if not state.is_writable:
                state.is_writable = self.workers[state.id].is_writable
            if needs_nodes:
                state.node = self.workers[state.id].task.node
        self._perform(self._scheduler.tick(self._now()))
