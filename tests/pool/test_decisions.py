"""Single decisions of a pool's scheduler: shares of clients, calls behind a slow one, numbers of workers."""

from typing import Any

from aioparcs.errors import RemoteError, WorkerLost
from aioparcs.pool.scheduler import (
    Action,
    Assign,
    Expire,
    PendingCall,
    Pull,
    Retry,
    Revoke,
    Scheduler,
    Settle,
    WorkerState,
)
from aioparcs.pool.scheduler.rotation import Rotations
from aioparcs.pool.sizing import Replicas, Step
from aioparcs.wire import FINISHED, REVOKED
from tests.pool.fakes import PLAIN, FakeClient

NOW = 100.0


class Sender:
    """Performs the actions of a scheduler for workers that answer nothing."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler
        self.sent: dict[int, list[PendingCall]] = {}
        self.revoked: list[PendingCall] = []
        self.expired: list[int] = []
        self._count = 0

    def perform(self, actions: list[Action]) -> None:
        """Perform actions, and those that follow from them."""
        for action in actions:
            match action:
                case Pull(client, most):
                    self.perform(self.scheduler.pulled(client.take(most), client.supply, NOW))
                case Assign(worker, calls):
                    for call in calls:
                        call.call_id = self._count = self._count + 1
                    self.sent.setdefault(worker, []).extend(calls)
                    self.perform(self.scheduler.sent(worker, calls, [], NOW))
                case Revoke(_, calls):
                    self.revoked += calls
                case Expire(worker):
                    self.expired.append(worker)


def test_clients_have_equal_shares_of_a_workers_room() -> None:
    scheduler = Scheduler(Retry(0))
    sender = Sender(scheduler)
    clients = [FakeClient(100, PLAIN) for _ in range(3)]
    for client in clients:
        sender.perform(scheduler.add_client(client, NOW))
    sender.perform(scheduler.add_worker(WorkerState(0, concurrency=5), NOW))
    assert [sum(call.client is client for call in sender.sent[0]) for client in clients] == [2, 2, 2]


def test_a_worker_expires_when_a_tenth_of_its_calls_is_left() -> None:
    for sent, expired in [(8, []), (9, [0]), (10, [0])]:
        scheduler = Scheduler(Retry(0))
        sender, client = Sender(scheduler), FakeClient(100, PLAIN)
        sender.perform(scheduler.add_client(client, NOW))
        sender.perform(scheduler.add_worker(WorkerState(0, concurrency=sent - 1, max_calls=10), NOW))
        assert (len(sender.sent[0]), sender.expired) == (sent, expired)


def test_unused_shares_of_clients_go_to_others() -> None:
    scheduler = Scheduler(Retry(0))
    sender = Sender(scheduler)
    clients = [FakeClient(1, PLAIN), FakeClient(100, PLAIN)]
    for client in clients:
        sender.perform(scheduler.add_client(client, NOW))
    sender.perform(scheduler.add_worker(WorkerState(0, concurrency=7), NOW))
    assert [sum(call.client is client for call in sender.sent[0]) for client in clients] == [1, 7]


def test_calls_are_assigned_to_workers_round_robin() -> None:
    scheduler = Scheduler(Retry(0))
    sender = Sender(scheduler)
    for worker in range(3):
        sender.perform(scheduler.add_worker(WorkerState(worker, concurrency=1), NOW))
    sender.perform(scheduler.add_client(FakeClient(4, PLAIN), NOW))
    assert {worker: len(calls) for worker, calls in sender.sent.items()} == {0: 2, 1: 1, 2: 1}


def test_a_call_behind_another_is_revoked_for_an_idle_worker() -> None:
    scheduler = Scheduler(Retry(0))
    sender = Sender(scheduler)
    sender.perform(scheduler.add_worker(WorkerState(0, concurrency=1), NOW))
    sender.perform(scheduler.add_client(FakeClient(2, PLAIN), NOW))
    sender.perform(scheduler.tick(NOW + 0.01))
    assert not sender.revoked, "no other worker could run it"
    sender.perform(scheduler.add_worker(WorkerState(1, concurrency=1), NOW))
    sender.perform(scheduler.tick(NOW + 0.001))
    assert not sender.revoked, "it has not waited for long"
    sender.perform(scheduler.tick(NOW + 0.01))
    assert sender.revoked == sender.sent[0][1:]


def test_calls_behind_a_slow_one_are_revoked_once() -> None:
    scheduler = Scheduler(Retry(0))
    sender = Sender(scheduler)
    sender.perform(scheduler.add_worker(WorkerState(0, concurrency=1), NOW))
    sender.perform(scheduler.add_client(FakeClient(2, PLAIN), NOW))
    for seconds in (1, 2, 3):
        sender.perform(scheduler.tick(NOW + seconds))
    assert sender.revoked == sender.sent[0][1:]


def test_a_worker_whose_results_are_not_known_may_have_begun_all_its_calls() -> None:
    lost = WorkerLost("crunch:0", "is lost")
    for unsent, failures in ((), 1), (None, 2):
        scheduler = Scheduler(Retry(0))
        sender = Sender(scheduler)
        sender.perform(scheduler.add_worker(WorkerState(0, concurrency=1), NOW))
        sender.perform(scheduler.add_client(FakeClient(2, PLAIN), NOW))
        settles = [action for action in scheduler.lose(0, lost, unsent, NOW) if isinstance(action, Settle)]
        assert [call for settle in settles for call, _, _ in settle.failures] == sender.sent[0][:failures]


def test_a_call_that_was_finished_and_whose_result_is_lost_is_not_made_again() -> None:
    lost, finished = WorkerLost("crunch:0", "was killed by SIGKILL", signal=9), RemoteError.make(FINISHED, "")
    scheduler = Scheduler(Retry(0))
    sender = Sender(scheduler)
    sender.perform(scheduler.add_worker(WorkerState(0, concurrency=1), NOW))
    sender.perform(scheduler.add_client(FakeClient(3, PLAIN), NOW))
    calls = sender.sent[0]
    actions = scheduler.lose(0, lost, [(calls[0].call_id, False, finished)], NOW)
    settles = [action for action in actions if isinstance(action, Settle)]
    assert [call for settle in settles for call, _, _ in settle.failures] == calls[:2], "the second may have begun"


def test_missing_workers_are_started_until_they_die_as_soon_as_they_are_up() -> None:
    replicas = Replicas()
    assert replicas.resize(3) == 3
    replicas.starting = 2
    assert replicas.next_step(size=1, idle_deaths=0) is Step.REST
    replicas.starting = 0
    assert not replicas.is_hopeless(size=1)
    assert replicas.next_step(size=1, idle_deaths=8) is Step.START
    assert replicas.next_step(size=1, idle_deaths=9) is Step.GIVE_UP
    replicas.stop()
    assert replicas.next_step(size=1, idle_deaths=0) is Step.REST
    assert replicas.is_hopeless(size=0)


def test_the_least_loaded_workers_are_retired_first() -> None:
    scheduler = Scheduler(Retry(0))
    sender = Sender(scheduler)
    for worker in range(3):
        sender.perform(scheduler.add_worker(WorkerState(worker, concurrency=1), NOW))
    sender.perform(scheduler.add_client(FakeClient(2, PLAIN), NOW))
    replicas = Replicas()
    replicas.resize(2)
    assert replicas.surplus(scheduler.workers.values()) == [2]


# Priorities


def order(scheduler: Scheduler, sender: Sender) -> list[FakeClient]:
    """Return the clients whose calls a worker gets, one after the other."""
    worker = WorkerState(0, concurrency=1)
    sender.perform(scheduler.add_worker(worker, NOW))
    found = 0
    while len(calls := sender.sent.get(0, [])) > found:
        call = calls[found]
        found += 1
        sender.perform(scheduler.answered(0, [(call.call_id, True, None)], NOW + found))
    clients: list[Any] = [call.client for call in sender.sent[0]]
    return clients


def test_calls_of_a_higher_priority_are_made_first() -> None:
    scheduler = Scheduler(Retry(0))
    sender = Sender(scheduler)
    low, usual, high = (FakeClient(3, PLAIN, priority=priority) for priority in (-1, 0, 7))
    submitter = FakeClient(0, PLAIN, priority=3)
    for client in (low, usual, high):
        sender.perform(scheduler.add_client(client, NOW))
    for _ in range(2):
        sender.perform(scheduler.submit(submitter.make(PLAIN), NOW))
    assert order(scheduler, sender) == [high] * 3 + [submitter] * 2 + [usual] * 3 + [low] * 3


def test_one_round_takes_calls_of_several_priorities() -> None:
    scheduler = Scheduler(Retry(0))
    sender = Sender(scheduler)
    clients = [FakeClient(count, PLAIN, priority=priority) for count, priority in ((9, 1), (2, 3), (9, 2), (1, 3))]
    for client in clients:
        sender.perform(scheduler.add_client(client, NOW))
    sender.perform(scheduler.add_worker(WorkerState(0, concurrency=6), NOW))
    assert [sum(call.client is client for call in sender.sent[0]) for client in clients] == [0, 2, 4, 1]


def test_clients_of_the_same_priority_take_turns() -> None:
    scheduler = Scheduler(Retry(0))
    sender = Sender(scheduler)
    clients = [FakeClient(3, PLAIN, priority=5), FakeClient(3, PLAIN, priority=5)]
    for client in clients:
        sender.perform(scheduler.add_client(client, NOW))
    one, other = clients
    assert order(scheduler, sender) == [one, other, one, other, one, other]


def test_calls_that_come_back_keep_their_priority() -> None:
    scheduler = Scheduler(Retry(1))
    sender = Sender(scheduler)
    low, high = FakeClient(2, PLAIN), FakeClient(3, PLAIN, priority=1)
    sender.perform(scheduler.add_worker(WorkerState(1, concurrency=1), NOW))
    sender.perform(scheduler.add_client(low, NOW))
    assert len(sender.sent[1]) == 2
    sender.perform(scheduler.add_client(high, NOW))
    sender.perform(scheduler.lose(1, WorkerLost("crunch:1", "is lost"), (), NOW))
    assert order(scheduler, sender) == [high] * 3 + [low] * 2
    assert sender.sent[0][3:] == sender.sent[1][::-1], "first the one that had not begun"


def test_priorities_that_are_no_longer_used_are_forgotten() -> None:
    rotations = Rotations()
    waiting = FakeClient(1, PLAIN, priority=-7)
    rotations.of(waiting).add(waiting)
    for priority in range(1000):
        rotations.of(FakeClient(1, PLAIN, priority=priority))
    assert len(list(rotations)) < 100
    assert [rotation.priority for rotation in rotations if rotation.has_calls] == [-7]
    assert rotations.first.priority == -7
    assert rotations.of(FakeClient(1, PLAIN)) is rotations.usual


def test_a_call_behind_a_stream_goes_to_a_worker_without_one() -> None:
    scheduler = Scheduler(Retry(0))
    sender = Sender(scheduler)
    busy = WorkerState(0, concurrency=1)
    sender.perform(scheduler.add_worker(busy, NOW))
    assert busy.add_stream() == []
    assert not busy.is_idle
    sender.perform(scheduler.add_client(FakeClient(1, PLAIN), NOW))
    (call,) = sender.sent.pop(0)
    sender.perform(scheduler.add_worker(WorkerState(1, concurrency=1), NOW))
    sender.perform(scheduler.tick(NOW + 1))
    assert sender.revoked == [call], "it has perhaps not begun, although it is the first"
    sender.perform(scheduler.answered(0, [(call.call_id, False, RemoteError.make(REVOKED, ""))], NOW + 1))
    assert sender.sent == {1: [call]}


def test_a_stream_counts_as_a_call_of_its_worker() -> None:
    worker = WorkerState(0, concurrency=1, max_calls=2)
    requests = [(worker.has_room_for_stream, len(worker.add_stream())) for _ in range(2)]
    assert requests == [(True, 0), (True, 1)], "another worker is to take its place"
    assert (worker.has_room_for_stream, worker.window.size) == (False, 0)


def test_a_submitted_call_goes_to_the_worker_that_has_answered_last() -> None:
    scheduler = Scheduler(Retry(0))
    sender, client = Sender(scheduler), FakeClient(0, PLAIN)
    for number in range(3):
        sender.perform(scheduler.add_worker(WorkerState(number, concurrency=1), NOW))
    calls = [PendingCall(client, -1, PLAIN, (), {}) for _ in range(4)]
    for call in calls[:2]:
        sender.perform(scheduler.submit(call, NOW))
    for worker in 0, 1:
        sender.perform(scheduler.answered(worker, [(calls[worker].call_id, True, None)], NOW))
    for call in calls[2:]:
        sender.perform(scheduler.submit(call, NOW))
    assert sender.sent == {0: [calls[0], calls[3]], 1: [calls[1], calls[2]]}
