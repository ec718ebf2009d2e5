"""
The scheduler of a pool: the choice of the worker for each call.

It does no input or output and reads no clock. Its methods are events; each returns the actions that follow, in their
order, which a `Performer` performs.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence

from aioparcs.errors import EncodeError, ParcsError, WorkerLost
from aioparcs.pool.scheduler.actions import Action, Agenda, Cancel, Drained, Repeat, Revoke, Settle
from aioparcs.pool.scheduler.call import CallPhase, Client, PendingCall, Supply
from aioparcs.pool.scheduler.hedging import Hedging
from aioparcs.pool.scheduler.rate import TokenBucket
from aioparcs.pool.scheduler.retry import Retry
from aioparcs.pool.scheduler.returns import ReturnedCalls
from aioparcs.pool.scheduler.rotation import Rotations
from aioparcs.pool.scheduler.rounds import Rounds
from aioparcs.pool.scheduler.status import SchedulerStatus
from aioparcs.pool.scheduler.worker_state import (
    Result,
    WorkerPhase,
    WorkerState,
    calls_of,
    is_fatal,
    is_missing,
    stuck_calls,
)

__all__ = ["Scheduler"]

# Seconds between two looks for calls that wait behind a slow one.
_PERIOD = 0.02

_, _SENT, _REVOKING, _SETTLED, _CANCELLED = CallPhase  # members of an Enum are slow to look up
_new = tuple.__new__  # a named tuple without the detour through its own constructor
_ACTIVE, _RETIRING, _DISCONNECTED, _LOST = WorkerPhase


class Scheduler:
    """
    Assigns each worker of a pool as many calls as keep it busy, and revokes those of one that is slow.

    Args:
        retry: when a call that has failed is made again.
        rate: how many calls may begin each second, None for any number.
        hedge: how many times the median a call may take before a second worker gets it, None for any time.
        uniform: returns a random number, 0 to 1.

    Attributes:
        workers: the workers that are up, by number.
        unsaturated: those of them that have room for more calls.
        idle_deaths: how many workers have died without a call since the last result.
        needs_nodes: whether it has to know the nodes of workers.
        status: how all this stands, for those who only look.
    """

    def __init__(
        self,
        retry: Retry,
        rate: float | None = None,
        hedge: float | None = None,
        uniform: Callable[[], float] = random.random,
    ) -> None:
        self.workers: dict[int, WorkerState] = {}
        self.idle_deaths = 0
        self._agenda = Agenda()
        self._rotations = Rotations()
        self._prefetches = rate is None and hedge is None  # else calls are to begin when they are sent
        self._hedging = None if hedge is None else Hedging(hedge)
        self.needs_nodes = hedge is not None
        self._rounds = Rounds(self._agenda, self._rotations, None if rate is None else TokenBucket(rate))
        self.unsaturated = self._rounds.unsaturated
        self._returned = ReturnedCalls(retry, uniform, self._rotations)
        self.status = SchedulerStatus(self.workers, self._rotations, self._rounds, self._returned)

    # Clients

    def add_client(self, client: Client, now: float) -> list[Action]:
        """Add a client, whose calls are made in turn with those of others."""
        self._rotations.of(client).add(client)
        return self.schedule(now)

    def drop_client(self, client: Client) -> list[Action]:
        """Remove a client: no more of its calls are made, and those that workers have are cancelled."""
        self._rotations.of(client).remove(client)
        for call in [*self._returned, *calls_of(self.workers.values())]:
            if call.client is client:
                self._cancel(call)
        return self._agenda.flush()

    def submit(self, call: PendingCall, now: float) -> list[Action]:
        """Queue a call, which takes turns with those of clients."""
        self._rotations.of(call.client).submit(call)
        return self.schedule(now)

    def schedule(self, now: float) -> list[Action]:
        """Assign calls to the workers that have room, to each in turn: clients may have new ones."""
        self._rotations.refill()
        self._rounds.add()
        return self._advance(now)

    def pulled(self, calls: list[PendingCall], supply: Supply, now: float) -> list[Action]:
        """Accept the calls of the client that was to be pulled from, and whether it has more."""
        self._rounds.pulled(calls, supply, now)
        return self._advance(now)

    def reserve(self, now: float) -> float:
        """Return when a stream may begin, which counts as a call."""
        bucket = self._rounds.bucket
        return now if bucket is None else bucket.reserve(now)

    def cancel(self, call: PendingCall) -> list[Action]:
        """Discard a call's result: it is not made if it has not begun, and stopped if it can be."""
        self._cancel(call)
        return self._agenda.flush()

    def abort(self, call: PendingCall, error: ParcsError) -> list[Action]:
        """Settle a call that has no result yet with an error, as if it had failed for the last time."""
        call = call if self._hedging is None else self._hedging.original(call)
        self._cancel(call, error)
        failure = call, False, error
        self._agenda.actions.append(Settle(-1, call.client, [failure], [failure]))
        return self._agenda.flush()

    def close(self) -> list[Client]:
        """Assign no more calls; return the clients that may have more, or wait for results."""
        self._rounds.close()
        self._agenda.wake_at = None
        clients = [client for rotation in self._rotations for client in rotation.clients]
        calls = [call for rotation in self._rotations for call in rotation.submitted]
        calls += [*self._returned, *calls_of(self.workers.values())]
        return list(dict.fromkeys([*clients, *(call.client for call in calls)]))

    # Workers

    def add_worker(self, worker: WorkerState, now: float) -> list[Action]:
        """Add a worker."""
        self.workers[worker.id] = worker
        worker.since = now
        if not self._prefetches:
            worker.window.stop_prefetch()
        self.unsaturated[worker] = None
        self._rounds.add()
        return self._advance(now)

    def retire(self, worker: int) -> list[Action]:
        """Assign no more calls to a worker, and revoke those that it has not begun."""
        state = self.workers[worker]
        if state.phase is _ACTIVE:
            state.phase = _RETIRING
            self._rounds.remove_worker(state)
            self._revoke(state, state.waiting)
            self._check_drained(state)
        return self._agenda.flush()

    def expire(self, worker: int) -> list[Action]:
        """Request another worker in place of one, which gets calls until it is retired."""
        self._agenda.actions += self.workers[worker].expire()
        return self._agenda.flush()

    def sent(
        self, worker: int, calls: list[PendingCall], rejected: Sequence[tuple[PendingCall, EncodeError]], now: float
    ) -> list[Action]:
        """Record that calls were sent to a worker, but for those that can't be sent."""
        state = self.workers[worker]
        self._rounds.unsent -= 1
        state.add(calls, now)
        self._rounds.running += len(calls)
        if rejected:
            self._reject(state, rejected, now)
        if self._hedging is not None:
            self._hedging.begin(calls, now)
        if self._agenda.wake_at is None and self._rounds.running:
            self._agenda.wake_by(now + _PERIOD)
        if state.window.rest is not None and state.window.is_due(len(state.calls)):
            self._agenda.actions += state.expire()
        return self._advance(now)

    def disconnected(self, worker: int, calls: list[PendingCall], now: float) -> list[Action]:
        """Record that calls can't be sent to a worker whose connection has ended: others get them."""
        state = self.workers[worker]
        self._rounds.unsent -= 1
        state.phase = _DISCONNECTED
        self._rounds.remove_worker(state)
        self._returned.put_first(call for call in calls if not self._withdraw(call))
        self._rounds.add()
        return self._advance(now)

    def answered(self, worker: int, results: Iterable[Result], now: float) -> list[Action]:
        """Accept results, and assign their worker the next calls."""
        state = self.workers[worker]
        self._accept(state, results, now)
        if state.phase is not _ACTIVE:
            self._check_drained(state)
        else:
            self._rounds.add_for(state, now)
        return self._advance(now)

    def lose(self, worker: int, lost: WorkerLost, unsent: Sequence[Result] | None, now: float) -> list[Action]:
        """
        Remove a worker that is gone, and make its calls again or fail them.

        Args:
            worker: its number.
            lost: why it is gone.
            unsent: its latest results; None if these are not known, so that it may have begun any call.
            now: the time.
        """
        state = self.workers.pop(worker)
        self._rounds.remove_worker(state)
        state.tally = None  # its last results are traced with those that it won't have
        phase, state.phase = state.phase, _LOST
        fatal = [result for result in unsent or () if is_fatal(result)]
        self._accept(state, [one for one in unsent or () if not (is_fatal(one) or is_missing(one))], now)
        finished = [state.calls.pop(one[0]) for one in unsent or () if is_missing(one) and one[0] in state.calls]
        begun = finished + (state.begun if unsent is not None else list(state.calls.values()))
        state.calls.update((call.call_id, call) for call in finished)
        self.idle_deaths += not begun and phase is not _RETIRING
        self._accept(state, fatal, now)  # not before: no other call has begun in place of this one
        self._rounds.running -= len(state.calls)
        for call_id, call in list(state.calls.items()):
            if self._withdraw(call):
                del state.calls[call_id]
        repeats, failures = self._returned.put_back(state, begun, lost, now)
        self._repeat(repeats)
        for call, error in failures:
            self._fail(call, error)
        if phase is _RETIRING:
            self._agenda.actions.append(Drained(worker))
        self._rounds.add()
        return self._advance(now)

    def tick(self, now: float) -> list[Action]:
        """Revoke calls of slow workers, and calls for workers that have nothing to do; assign what could not be."""
        self._agenda.wake_at = None
        for worker, calls in stuck_calls(self.workers.values(), self.unsaturated, now):
            self._revoke(worker, calls)
        if self._returned.release(now):
            self._rounds.add()
        if self._rounds.running:
            self._agenda.wake_by(now + _PERIOD)
        self._agenda.wake_by(self._returned.next_due)
        self._rounds.poll(now)
        if self._hedging is not None:
            self._rounds.assign_copies(self._hedging, self.workers.values(), now)
        return self._advance(now)

    # Inside

    def _advance(self, now: float) -> list[Action]:
        self._rounds.advance(now)
        return self._agenda.flush()

    # Inside: answers

    def _accept(self, worker: WorkerState, results: Iterable[Result], now: float) -> None:
        before = len(worker.calls)
        settles, returned, has_failures = worker.take_results(results)
        answered = before - len(worker.calls)
        self._rounds.running -= answered
        if answered > len(returned):  # these say nothing about how long calls take
            worker.measure(answered - len(returned), now)
        if settles:
            self.idle_deaths = 0
            if self._hedging is not None:
                self._agenda.actions += self._hedging.settle(settles, self.workers, now)
            if has_failures:
                settles, repeats = self._returned.sift(settles, now)
                self._repeat(repeats)
            self._agenda.actions += settles
        if returned:
            for call in returned:
                if not self._withdraw(call):
                    self._returned.put_last(call)
            self._rounds.add()

    def _repeat(self, repeats: list[Repeat]) -> None:
        if repeats:
            self._agenda.actions += repeats
            self._agenda.wake_by(self._returned.next_due)
            self._rounds.add()

    def _fail(self, call: PendingCall, error: ParcsError) -> None:
        """Settle a call that no worker has answered."""
        call.phase = _SETTLED
        self.idle_deaths = 0
        self._agenda.actions.append(Settle(-1, call.client, [(call, False, error)], [(call, False, error)]))

    def _reject(self, worker: WorkerState, rejected: Sequence[tuple[PendingCall, EncodeError]], now: float) -> None:
        self._rounds.running -= len(rejected)
        for call, error in rejected:
            del worker.calls[call.call_id]
            if not self._withdraw(call):
                self._fail(call, error)
        if worker.phase is _ACTIVE and len(worker.calls) < worker.window.size:
            self.unsaturated[worker] = None
            # Not now: a source of nothing but such calls must not keep the program from all else.
            self._agenda.wake_by(now)

    def _check_drained(self, worker: WorkerState) -> None:
        if worker.phase is _RETIRING and not worker.calls:
            self._agenda.actions.append(Drained(worker.id))

    # Inside: revoking

    def _cancel(self, call: PendingCall, error: BaseException | None = None) -> None:
        if self._hedging is not None and (other := self._hedging.part(call)) is not None:
            self._cancel(other, error)
        phase = call.phase
        if phase is _SENT or phase is _REVOKING:
            self._agenda.actions.append(Cancel(call.worker, call, error))
        if phase is not _SETTLED:
            call.phase = _CANCELLED

    def _withdraw(self, call: PendingCall) -> bool:
        """Drop a call that is with no worker now if another one has its copy; False if there is none."""
        return self._hedging is not None and self._hedging.withdraw(call, self.workers)

    def _revoke(self, worker: WorkerState, calls: list[PendingCall]) -> None:
        for call in calls:
            call.phase = _REVOKING
        if calls:
            self._agenda.actions.append(Revoke(worker.id, calls))
