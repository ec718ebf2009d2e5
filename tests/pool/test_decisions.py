"""Single decisions of a pool's scheduler: shares of clients, calls behind a slow one, numbers of workers."""

from aioparcs.errors import WorkerLost
from aioparcs.pool.scheduler import (
    Action,
    Assign,
    PendingCall,
    Pull,
    Replicas,
    Retry,
    Revoke,
    Scheduler,
    Settle,
    Step,
    WorkerState,
)
from tests.pool.fakes import PLAIN, FakeClient

NOW = 100.0


class Sender:
    """Performs the actions of a scheduler for workers that answer nothing."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler
        self.sent: dict[int, list[PendingCall]] = {}
        self.revoked: list[PendingCall] = []
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


def test_clients_have_equal_shares_of_a_workers_room() -> None:
    scheduler = Scheduler(Retry(0))
    sender = Sender(scheduler)
    clients = [FakeClient(100, PLAIN) for _ in range(3)]
    for client in clients:
        sender.perform(scheduler.add_client(client, NOW))
    sender.perform(scheduler.add_worker(WorkerState(0, concurrency=5), NOW))
    assert [sum(call.client is client for call in sender.sent[0]) for client in clients] == [2, 2, 2]


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
