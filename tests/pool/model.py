"""A model of a pool without processes: fakes and a clock around a real scheduler, and what must hold."""

from collections import Counter, deque
from random import Random
from typing import Any

from aioparcs.errors import EncodeError, WorkerLost
from aioparcs.pool.scheduler import (
    Action,
    Assign,
    Cancel,
    Drained,
    Expire,
    PendingCall,
    Pull,
    Repeat,
    Result,
    Retry,
    Revoke,
    Scheduler,
    Settle,
    Supply,
    Wake,
    WorkerPhase,
    WorkerState,
)
from aioparcs.pool.sizing import Replicas
from tests.pool.fakes import COROUTINE, PLAIN, FakeClient, FakeWorker

__all__ = ["Model"]

# Seconds by which rounding may put a call earlier than when it is looked at: then the next look finds it.
_MOMENT = 1e-6


class Model:
    """
    A pool, whose scheduler's actions are performed at once; each is checked.

    Attributes:
        workers: the workers that are up, those that retire included.
        clients: the clients that were not dropped.
        ticks: how often its scheduler was woken.
        nested: the part of pulls in which the client submits a call.
    """

    def __init__(self, retries: int | Retry, seed: int, rate: float | None = None, hedge: float | None = None) -> None:
        self.workers: dict[int, FakeWorker] = {}
        self.clients: list[FakeClient] = []
        self.ticks = 0
        self.nested = 0.02
        self._random = Random(seed)
        self._retry = retries if isinstance(retries, Retry) else Retry(retries)
        self.scheduler = Scheduler(self._retry, rate, hedge, self._random.random)
        self._rate = rate
        self._hedging = self.scheduler._hedging
        self._sent_at: list[float] = []  # when each call was sent
        self._submitters = {0: FakeClient(0, "")}  # by priority
        self._now = 100.0
        self._wake_at: float | None = None
        self._owners: dict[PendingCall, int] = {}  # the worker that each call was sent to
        self._begins: Counter[PendingCall] = Counter()  # how often each call has begun in a worker
        self._begun: Counter[int] = Counter()  # how many calls each worker has begun
        self._repeats: Counter[PendingCall] = Counter()  # how often each call was said to be made again
        self._settled: list[PendingCall] = []  # by the event that is handled
        self._started = self._sent = 0
        self._actions: deque[Action] = deque()
        self._is_performing = False

    @property
    def unsettled(self) -> list[PendingCall]:
        """The calls that clients wait for."""
        return [call for client in (*self._submitters.values(), *self.clients) for call in client.unsettled]

    @property
    def expiring(self) -> list[FakeWorker]:
        """The workers whose successors are to be started."""
        return [
            worker for worker in self.workers.values() if worker.is_expired and worker.state.phase is WorkerPhase.ACTIVE
        ]

    @property
    def running(self) -> list[tuple[FakeWorker, PendingCall]]:
        """The calls that run, and where."""
        return [(worker, call) for worker in self.workers.values() for call in worker.running]

    # Events

    def add_worker(self, concurrency: int, max_calls: int | None = None) -> None:
        """Add a worker, which gets no more than so many calls."""
        state = WorkerState(self._started, concurrency, frozenset({COROUTINE}), max_calls)
        number = self._started

        def on_begin(call: PendingCall) -> None:
            self._begins[call] += 1
            self._begun[number] += 1
            assert self._hedging or self._begins[call] <= 1 + self._retry.times, "it runs too often"
            assert max_calls is None or self._begun[number] <= max_calls, "the worker has had its calls"

        self.workers[number] = FakeWorker(state, on_begin)
        self._started += 1
        self._perform(self.scheduler.add_worker(state, self._now))

    def resize(self, wanted: int) -> None:
        """Retire surplus workers."""
        replicas = Replicas()
        replicas.resize(wanted)
        for worker in replicas.surplus(self.scheduler.workers.values()):
            self._perform(self.scheduler.retire(worker))

    def outgrow(self, worker: FakeWorker) -> None:
        """Report that a worker has more memory than it may have."""
        self._perform(self.scheduler.expire(worker.state.id))
        assert worker.is_expired or worker.state.phase is not WorkerPhase.ACTIVE

    def succeed(self, worker: FakeWorker, concurrency: int) -> None:
        """Add the worker that takes the place of one that expires, and retire that."""
        self.add_worker(concurrency)
        self._perform(self.scheduler.retire(worker.state.id))
        assert worker.state.phase is not WorkerPhase.ACTIVE

    def submit(self, function: str, priority: int = 0) -> None:
        """Submit a call."""
        submitter = self._submitters.setdefault(priority, FakeClient(0, "", priority=priority))
        self._perform(self.scheduler.submit(submitter.make(function), self._now))

    def add_client(
        self,
        calls: int,
        function: str,
        unsendable: int = 0,
        pending: Supply = Supply.EXHAUSTED,
        priority: int = 0,
    ) -> None:
        """Add a client with some calls."""
        client = FakeClient(calls, function, unsendable, pending, priority)
        self.clients.append(client)
        self._perform(self.scheduler.add_client(client, self._now))

    def refill(self, client: FakeClient, calls: int) -> None:
        """Add calls to a client that may be dry, as an async source does."""
        if client.supply is not Supply.OVER:
            client.left += calls
            self._perform(self.scheduler.schedule(self._now))

    def drop(self, client: FakeClient) -> None:
        """Drop a client."""
        self.clients.remove(client)
        client.left = 0
        client.unsettled.clear()
        self._perform(self.scheduler.drop_client(client))

    def cancel(self, call: PendingCall) -> None:
        """Cancel a call."""
        client: Any = call.client
        del client.unsettled[call]
        self._perform(self.scheduler.cancel(call))
        if call in self._owners:
            assert (Cancel, call) in self.workers[self._owners[call]].requests

    def deliver(self, worker: FakeWorker, count: int) -> None:
        """Deliver answers of a worker."""
        results = worker.take_answers(count)
        for call_id, _, _ in results:
            self._owners.pop(worker.calls[call_id])
        worker.state.is_writable = True
        self._perform(self.scheduler.answered(worker.state.id, results, self._now))

    def kill(self, worker: FakeWorker, *, is_reported: bool = False) -> None:
        """Kill a worker. Its answers survive, and some that were delivered come again; or all are lost with it."""
        results: list[Result] | None = None
        if is_reported or self._random.random() < 0.8:
            results = list(worker.answers)
            results += [(call_id, True, 7) for call_id, call in worker.calls.items() if call not in self._owners][-3:]
        for call in worker.calls.values():
            if self._owners.get(call) == worker.state.id:
                del self._owners[call]
        lost = WorkerLost.from_exit(f"worker {worker.state.id}", -9)
        self._perform(self.scheduler.lose(worker.state.id, lost, results, self._now))
        del self.workers[worker.state.id]

    def time_out(self, worker: FakeWorker, call: PendingCall) -> None:
        """Stop a call that has passed its limit; a plain function ends with its worker, where no other has begun."""
        ends_worker = call.function == PLAIN or self._random.random() < 0.3  # or blocks the event loop
        worker.time_out(call, ends_worker=ends_worker)
        if ends_worker and call.function != PLAIN:
            self.kill(worker, is_reported=True)
        elif ends_worker:
            unbegun = [other for other in worker.calls.values() if other.function == PLAIN and other is not call]
            unbegun = [other for other in unbegun if self._owners.get(other) == worker.state.id]
            answered = {call_id for call_id, _, _ in worker.answers}
            self._settled.clear()
            self.kill(worker, is_reported=True)
            assert not [other for other in unbegun if other in self._settled and other.call_id not in answered]

    def pass_time(self, seconds: float) -> None:
        """Advance the time, with the ticks that are due; connections become writable meanwhile."""
        end = self._now + seconds
        while self._wake_at is not None and self._wake_at <= end:
            self._now = max(self._now, self._wake_at)
            self._wake_at = None
            self.ticks += 1
            for worker in self.workers.values():
                worker.state.is_writable = True
            self._perform(self.scheduler.tick(self._now))
        self._now = end

    def work_off(self) -> None:
        """Run all calls to their end."""
        for worker in list(self.workers.values()):
            while worker.requests:
                worker.receive()
            for call in list(worker.running):
                worker.finish(call, True)
            if not worker.is_connected:
                self.kill(worker)
            elif worker.answers:
                self.deliver(worker, len(worker.answers))
        self.pass_time(1)

    # Actions

    def _perform(self, actions: list[Action]) -> None:
        self._actions += actions
        if self._is_performing:
            return
        self._is_performing = True
        while self._actions:
            self._substitute()
            self._do(self._actions.popleft())
        self._is_performing = False
        self.check()

    def _do(self, action: Action) -> None:
        match action:
            case Pull(client, most):
                calls = client.take(most)
                if self._random.random() < self.nested:  # a generator that submits a call when it is asked for items
                    self.submit(PLAIN)
                self._actions += self.scheduler.pulled(calls, client.supply, self._now)
            case Assign(worker, calls):
                self._assign(self.workers[worker], calls)
            case Revoke(worker, calls):
                for call in calls:
                    self._request(Revoke, worker, call)
            case Cancel(worker, call):
                self._request(Cancel, worker, call)
            case Settle(_, client, outcomes, failures):
                assert outcomes
                assert all(call.client is client for call, _, _ in outcomes)
                assert [outcome for outcome in outcomes if not outcome[1]] == failures
                assert not any(call in self._owners for call, _, _ in outcomes), "a worker still has it"
                assert not any(
                    self._repeats[call] < self._retry.times and self._retry.covers(error) for call, _, error in failures
                ), "it may be made again"
                assert all(len(getattr(error, "__notes__", ())) == self._repeats[call] for call, _, error in failures)
                self._settled += [call for call, _, _ in outcomes]
                client.settle(outcomes)
            case Repeat(worker, call, error):
                self._repeats[call] += 1
                assert self._repeats[call] <= self._retry.times
                assert self._retry.covers(error)
                assert call not in self._owners
            case Expire(worker):
                assert not self.workers[worker].is_expired, "once is enough"
                self.workers[worker].is_expired = True
            case Drained(worker):
                self.workers[worker].is_drained = True
            case Wake(when):
                self._wake_at = when

    def _assign(self, worker: FakeWorker, calls: list[PendingCall]) -> None:
        state = worker.state
        assert calls
        assert state.phase is WorkerPhase.ACTIVE
        assert state.is_writable
        self._check_rate(len(calls))
        assert self.scheduler._prefetches or len(state.calls) + len(calls) <= state.concurrency, (
            "it can't begin at once"
        )
        assert len(calls) <= state.window.size - len(state.calls)
        client: Any
        for call in calls:
            client = call.client
            assert call not in self._owners, "another worker has it"
            call = self._hedging._originals.get(call, call) if self._hedging else call
            assert call in client.unsettled, "it was cancelled, or settled"
        if not worker.is_connected:
            self._actions += self.scheduler.disconnected(state.id, calls, self._now)
            return
        rejected: list[tuple[PendingCall, EncodeError]] = []
        for call in calls:
            call.call_id = self._sent
            self._sent += 1
            client = call.client
            if client.can_send(call):
                worker.calls[call.call_id] = call
                self._owners[call] = state.id
                worker.requests.append((Assign, call))
            else:
                rejected.append((call, EncodeError("$", "no")))
        state.is_writable = self._random.random() < 0.95
        self._actions += self.scheduler.sent(state.id, calls, rejected, self._now)

    def _request(self, kind: type[Action], worker: int, call: PendingCall) -> None:
        assert self._owners[call] == worker, "another worker has it"
        self.workers[worker].requests.append((kind, call))

    def _substitute(self) -> None:
        """Accept that the scheduler has put one of two calls in place of the other, with the same id."""
        for state in self.scheduler.workers.values() if self._hedging else ():
            worker = self.workers[state.id]
            for call_id, call in state.calls.items():
                if worker.calls[call_id] is not call:
                    old = worker.substitute(call_id, call)
                    if self._owners.get(old) == state.id:
                        del self._owners[old]
                    self._owners[call] = state.id

    # What holds at any time

    def check(self) -> None:
        """Check what holds whenever all actions were performed."""
        states = self.scheduler.workers
        self._substitute()
        assert {call: state.id for state in states.values() for call in state.calls.values()} == self._owners
        assert self.scheduler.status.running == len(self._owners)
        assert self._wake_at is not None or not self._owners, "nothing looks for slow calls"
        for state in states.values():
            assert len(state.calls) <= state.concurrency + 128
            assert (state in self.scheduler.unsaturated) <= (state.phase is WorkerPhase.ACTIVE)
            is_drained = state.phase is WorkerPhase.RETIRING and not state.calls
            assert self.workers[state.id].is_drained == is_drained
            assert self.workers[state.id].is_expired == state.is_expiring
            assert state.window.rest is None or len(state.calls) <= state.window.rest
            assert state.window.rest != len(state.calls) or state.is_expiring, "its successor is to be started"
        is_retrying = self._wake_at is not None and self._wake_at <= self._now
        if (
            not is_retrying
            and any(
                state.phase is WorkerPhase.ACTIVE and state.is_writable and len(state.calls) < state.window.size
                for state in states.values()
            )
            and not self._is_paced()
        ):
            waiting = [call for call in self.unsettled if call not in self._owners and not self._pauses(call)]
            assert not waiting, "a worker has room, and a call waits"
            assert not any(client.left for client in self.clients), "a worker has room, and a client has calls"

    def _is_paced(self) -> bool:
        """Return True while no call may be sent because of the rate; check that it's looked at again when one may."""
        bucket = self.scheduler._rounds.bucket
        if bucket is None or bucket.available(self._now - _MOMENT):
            return False
        assert self._wake_at is not None or not self.unsettled
        return True

    def _check_rate(self, count: int) -> None:
        """Check that in no time more calls were sent than the rate allows, and those of 20 ms."""
        if self._rate is None:
            return
        self._sent_at += [self._now] * count
        burst = max(1, int(self._rate * 0.02))
        for more, begun in enumerate(reversed(self._sent_at[-100:]), 1):
            assert more <= burst + (self._now - begun) * self._rate + 0.001

    def _pauses(self, call: PendingCall) -> bool:
        """Return True for a call that may be in the pause before its next try."""
        return bool((self._retry.backoff or self._retry.jitter) and self._repeats[call] and self._wake_at is not None)

    def check_end(self) -> None:
        """Work everything off, and check that every call was settled."""
        for _ in range(10_000):
            for worker in self.expiring:
                self.succeed(worker, 1)
            if not any(worker.state.phase is WorkerPhase.ACTIVE for worker in self.workers.values()):
                self.add_worker(1)
            self.work_off()
            if not self.unsettled and not any(client.left for client in self.clients) and not self._owners:
                break
        assert not self.unsettled
        assert not self.scheduler.status.running
        assert all(client.supply is Supply.OVER for client in self.clients)
        self.pass_time(100)
        assert self._wake_at is None, "it ticks although nothing runs"
