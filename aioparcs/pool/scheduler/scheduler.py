"""
The scheduler of a pool: the choice of the worker for each call.

It does no input or output and reads no clock. Its methods are events; each returns the actions that follow, in their
order, which a `Dispatcher` performs.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterable, Sequence

from aioparcs.errors import EncodeError, ParcsError, WorkerLost
from aioparcs.pool.scheduler.actions import Action, Assign, Cancel, Drained, Repeat, Revoke, Settle, Wake
from aioparcs.pool.scheduler.autoscaler import Load, load_of
from aioparcs.pool.scheduler.call import CallPhase, Client, PendingCall, Supply
from aioparcs.pool.scheduler.retry import Retry
from aioparcs.pool.scheduler.returns import ReturnedCalls
from aioparcs.pool.scheduler.rotation import Rotations
from aioparcs.pool.scheduler.rounds import Round, rooms_of
from aioparcs.pool.scheduler.worker_state import Result, WorkerPhase, WorkerState, calls_of, is_fatal, stuck_calls

__all__ = ["Scheduler"]

# Seconds between two looks for calls that wait behind a slow one; and to the first after an event that leaves room.
_PERIOD, _SOON = 0.02, 0.001

_, _SENT, _REVOKING, _SETTLED, _CANCELLED = CallPhase  # members of an Enum are slow to look up
_new = tuple.__new__  # a named tuple without the detour through its own constructor
_ACTIVE, _RETIRING, _DISCONNECTED, _LOST = WorkerPhase


class Scheduler:
    """
    Assigns each worker of a pool as many calls as keep it busy, and revokes those of one that is slow.

    Args:
        retry: when a call that has failed is made again.
        chance: returns a random number, 0 to 1.

    Attributes:
        workers: the workers that are up, by number.
        unsaturated: those of them that have room for more calls.
        running: how many calls are with workers.
        idle_deaths: how many workers have died without a call since the last result.
    """

    def __init__(self, retry: Retry, chance: Callable[[], float] = random.random) -> None:
        self.workers: dict[int, WorkerState] = {}
        self.unsaturated: dict[WorkerState, None] = {}
        self.running = 0
        self.idle_deaths = 0
        self._rotations = Rotations()
        self._returned = ReturnedCalls(retry, chance, self._rotations)
        self._rounds: deque[WorkerState | None] = deque()  # due ones: for one worker, or for all that are unsaturated
        self._round: Round | None = None
        self._unsent = 0  # assignments that were not reported
        self._wake_at: float | None = None
        self._is_closed = False
        self._actions: list[Action] = []

    @property
    def size(self) -> int:
        """The number of workers that get calls."""
        return sum(worker.phase is _ACTIVE for worker in self.workers.values())

    @property
    def load(self) -> Load:
        """What its workers have to do."""
        return load_of(self.workers.values(), self._rotations.waiting)

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
        return self._flush()

    def submit(self, call: PendingCall, now: float) -> list[Action]:
        """Queue a call, which takes turns with those of clients."""
        self._rotations.of(call.client).submit(call)
        return self.schedule(now)

    def schedule(self, now: float) -> list[Action]:
        """Assign calls to the workers that have room, to each in turn: clients may have new ones."""
        self._rotations.refill()
        self._add_round()
        return self._advance(now) if self._rounds else []

    def pulled(self, calls: list[PendingCall], supply: Supply, now: float) -> list[Action]:
        """Accept the calls of the client that was to be pulled from, and whether it has more."""
        current = self._round
        assert current is not None
        current.rotation.end_pull(supply)
        if current.add(calls):
            self._finish(current, now)
        return self._advance(now)

    def cancel(self, call: PendingCall) -> list[Action]:
        """Discard a call's result: it is not made if it has not begun, and stopped if it can be."""
        self._cancel(call)
        return self._flush()

    def close(self) -> list[Client]:
        """Assign no more calls; return the clients that may have more, or wait for results."""
        self._is_closed = True
        self._rounds.clear()
        self._wake_at = None
        clients = [client for rotation in self._rotations for client in rotation.clients]
        calls = [call for rotation in self._rotations for call in rotation.submitted]
        calls += [*self._returned, *calls_of(self.workers.values())]
        return list(dict.fromkeys([*clients, *(call.client for call in calls)]))

    # Workers

    def add_worker(self, worker: WorkerState, now: float) -> list[Action]:
        """Add a worker."""
        self.workers[worker.id] = worker
        worker.join(now)
        self.unsaturated[worker] = None
        self._add_round()
        return self._advance(now)

    def retire(self, worker: int) -> list[Action]:
        """Assign no more calls to a worker, and revoke those that it has not begun."""
        state = self.workers[worker]
        if state.phase is _ACTIVE:
            state.phase = _RETIRING
            self.unsaturated.pop(state, None)
            self._revoke(state, state.waiting)
            self._check_drained(state)
        return self._flush()

    def expire(self, worker: int) -> list[Action]:
        """Request another worker in place of one, which gets calls until it is retired."""
        self._actions += self.workers[worker].expire()
        return self._flush()

    def sent(
        self, worker: int, calls: list[PendingCall], rejected: Sequence[tuple[PendingCall, EncodeError]], now: float
    ) -> list[Action]:
        """Record that calls were sent to a worker, but for those that can't be sent."""
        state = self.workers[worker]
        self._unsent -= 1
        state.add(calls, now)
        self.running += len(calls)
        if rejected:
            self._reject(state, rejected, now)
        if self._wake_at is None and self.running:
            self._wake_by(now + _PERIOD)
        if state.rest is not None and state.is_due:
            self._actions += state.expire()
        return self._advance(now)

    def disconnected(self, worker: int, calls: list[PendingCall], now: float) -> list[Action]:
        """Record that calls can't be sent to a worker whose connection has ended: others get them."""
        state = self.workers[worker]
        self._unsent -= 1
        state.phase = _DISCONNECTED
        self.unsaturated.pop(state, None)
        self._returned.put_first(calls)
        self._add_round()
        return self._advance(now)

    def answered(self, worker: int, results: Iterable[Result], now: float) -> list[Action]:
        """Accept results, and assign their worker the next calls."""
        state = self.workers[worker]
        self._accept(state, results, now)
        if state.phase is not _ACTIVE:
            self._check_drained(state)
        elif self._rounds or self._round is not None:
            self._rounds.append(state)
        else:
            self._begin(state, now)
        return self._advance(now)

    def lose(self, worker: int, lost: WorkerLost, unsent: Sequence[Result] | None, now: float) -> list[Action]:
        """
        Remove a worker that is gone, and make its calls again or fail them.

        Args:
            worker: its number.
            lost: why it is gone.
            unsent: the results that it had not sent; None if these are not known, so that it may have begun any call.
            now: the time.
        """
        state = self.workers.pop(worker)
        self.unsaturated.pop(state, None)
        phase, state.phase = state.phase, _LOST
        fatal = [result for result in unsent or () if is_fatal(result)]
        self._accept(state, [result for result in unsent or () if not is_fatal(result)], now)
        begun = state.begun if unsent is not None else list(state.calls.values())
        self.idle_deaths += not begun and phase is not _RETIRING
        self._accept(state, fatal, now)  # not before: no other call has begun in place of this one
        self.running -= len(state.calls)
        repeats, failures = self._returned.put_back(state, begun, lost, now)
        self._repeat(repeats)
        for call, error in failures:
            self._fail(call, error)
        if phase is _RETIRING:
            self._actions.append(Drained(worker))
        self._add_round()
        return self._advance(now)

    def tick(self, now: float) -> list[Action]:
        """Revoke calls of slow workers, and calls for workers that have nothing to do; assign what could not be."""
        self._wake_at = None
        for worker, calls in stuck_calls(self.workers.values(), self.unsaturated, now):
            self._revoke(worker, calls)
        if self._returned.release(now):
            self._add_round()
        if self.running:
            self._wake_by(now + _PERIOD)
        self._wake_by(self._returned.next_due)
        if self.unsaturated and self._rotations.first.has_calls and self._round is None:
            self._begin(None, now, is_poll=True)
        return self._advance(now)

    # Inside: answers

    def _accept(self, worker: WorkerState, results: Iterable[Result], now: float) -> None:
        before = len(worker.calls)
        settles, returned, has_failures = worker.take_results(results)
        answered = before - len(worker.calls)
        self.running -= answered
        if answered > len(returned):  # these say nothing about how long calls take
            worker.measure(answered - len(returned), now)
        if settles:
            self.idle_deaths = 0
            if has_failures:
                settles, repeats = self._returned.sift(settles, now)
                self._repeat(repeats)
            self._actions += settles
        if returned:
            for call in returned:
                self._returned.put_last(call)
            self._add_round()

    def _repeat(self, repeats: list[Repeat]) -> None:
        if repeats:
            self._actions += repeats
            self._wake_by(self._returned.next_due)
            self._add_round()

    def _fail(self, call: PendingCall, error: ParcsError) -> None:
        """Settle a call that no worker has answered."""
        call.phase = _SETTLED
        self.idle_deaths = 0
        self._actions.append(Settle(-1, call.client, [(call, False, error)], [(call, False, error)]))

    def _reject(self, worker: WorkerState, rejected: Sequence[tuple[PendingCall, EncodeError]], now: float) -> None:
        self.running -= len(rejected)
        for call, error in rejected:
            del worker.calls[call.call_id]
            self._fail(call, error)
        if worker.phase is _ACTIVE and len(worker.calls) < worker.window:
            self.unsaturated[worker] = None
            self._wake_by(now)  # not now: a source of nothing but such calls must not keep the program from all else

    def _check_drained(self, worker: WorkerState) -> None:
        if worker.phase is _RETIRING and not worker.calls:
            self._actions.append(Drained(worker.id))

    # Inside: revoking

    def _cancel(self, call: PendingCall) -> None:
        phase = call.phase
        if phase is _SENT or phase is _REVOKING:
            self._actions.append(Cancel(call.worker, call))
        if phase is not _SETTLED:
            call.phase = _CANCELLED

    def _revoke(self, worker: WorkerState, calls: list[PendingCall]) -> None:
        for call in calls:
            call.phase = _REVOKING
        if calls:
            self._actions.append(Revoke(worker.id, calls))

    def _wake_by(self, when: float | None) -> None:
        """Request a `tick` at a time, unless one is due sooner; None for no time."""
        if when is not None and (self._wake_at is None or self._wake_at > when):
            self._wake_at = when
            self._actions.append(Wake(when))

    # Inside: assigning

    def _add_round(self) -> None:
        """Add a round for all workers that have room, unless it would do nothing."""
        if (self.unsaturated or self._round is not None) and None not in self._rounds and not self._is_closed:
            self._rounds.append(None)

    def _advance(self, now: float) -> list[Action]:
        """Go on with the round, and begin those that are due, until something must be done first."""
        while (current := self._round) is not None or self._rounds:
            if self._unsent or (current is not None and current.rotation.pulled is not None):
                break
            if current is None:
                self._begin(self._rounds.popleft(), now)
            elif (pull := current.next_pull()) is not None:
                self._actions.append(pull)
                break
            else:
                self._finish(current, now)
        return self._flush()

    def _begin(self, worker: WorkerState | None, now: float, *, is_poll: bool = False) -> None:
        if self._is_closed:
            return
        if worker is None:
            rooms = rooms_of(self.unsaturated)
            wanted = sum(rooms.values())
            self._rotations.refill()
        else:
            wanted = worker.window - len(worker.calls)
            if wanted <= 0 or worker.phase is not _ACTIVE:
                return
            self.unsaturated[worker] = None
            if not worker.is_writable:
                return
            rooms = {worker: wanted}
        rotation = self._rotations.first
        if wanted and (rotation.ready or rotation.returned):
            self._round = Round(self._rotations, rotation, rooms, wanted, is_poll)
        elif not self.running or (is_poll and all(worker.is_writable for worker in self.unsaturated)):
            return  # answers make room
        elif worker is None or len(worker.calls) < worker.concurrency:
            self._wake_by(now + _SOON)

    def _finish(self, current: Round, now: float) -> None:
        """Assign the calls that were collected; look soon for others to give to those who have room for more."""
        self._round = None
        for worker, share in current.shares():
            self._unsent += 1
            self._actions.append(_new(Assign, (worker.id, share)))
            if len(share) == current.rooms[worker]:
                self.unsaturated.pop(worker, None)
        if self.unsaturated and (current.calls or (self.running and not current.is_poll)):
            self._wake_by(now + _SOON)

    def _flush(self) -> list[Action]:
        actions, self._actions = self._actions, []
        return actions
