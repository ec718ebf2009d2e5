"""The scheduler of pools on random histories: no process, no clock; `model` says what must hold."""

from random import Random
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from aioparcs.errors import CallTimeout
from aioparcs.pool.scheduler import Retry, Supply
from tests.pool.fakes import COROUTINE, PLAIN
from tests.pool.model import Model
from tests.support.deep import deep, repeats
from tests.support.strategies import property_test

_STEPS = repeats(12_000, 1_000_000)  # of the long histories
_HISTORY = 2_000

_functions = st.sampled_from([PLAIN, COROUTINE])
_priorities = st.one_of(st.just(0), st.integers(-50, 50))
_picks = st.integers(0, 1 << 16)
_errors = st.sampled_from([(), (CallTimeout,), ("ValueError",), (CallTimeout, "ValueError")])
_retries = st.builds(Retry, st.integers(0, 2), _errors, st.sampled_from([0.0, 0.01, 1.0]), st.sampled_from([0.0, 0.01]))
_rates = st.sampled_from([None, None, 5.0, 300.0])
_max_calls = st.sampled_from([None, None, 1, 3, 40])


class Histories(RuleBasedStateMachine):
    """Random histories of a pool, short and shrinkable."""

    model: Model

    @initialize(retries=_retries, seed=_picks, concurrency=st.integers(1, 3), max_calls=_max_calls, rate=_rates)
    def begin(self, retries: Retry, seed: int, concurrency: int, max_calls: int | None, rate: float | None) -> None:
        self.model = Model(retries, seed, rate)
        self.model.add_worker(concurrency, max_calls)

    def _pick(self, things: Any, pick: int) -> Any:
        things = list(things)
        return things[pick % len(things)]

    @rule(concurrency=st.integers(1, 3), max_calls=_max_calls)
    def add_worker(self, concurrency: int, max_calls: int | None) -> None:
        self.model.add_worker(concurrency, max_calls)

    @precondition(lambda self: self.model.workers)
    @rule(pick=_picks)
    def outgrow(self, pick: int) -> None:
        self.model.outgrow(self._pick(self.model.workers.values(), pick))

    @precondition(lambda self: self.model.expiring)
    @rule(pick=_picks, concurrency=st.integers(1, 3))
    def succeed(self, pick: int, concurrency: int) -> None:
        self.model.succeed(self._pick(self.model.expiring, pick), concurrency)

    @precondition(lambda self: self.model.running)
    @rule(pick=_picks)
    def time_out(self, pick: int) -> None:
        self.model.time_out(*self._pick(self.model.running, pick))

    @rule(wanted=st.integers(1, 4))
    def resize(self, wanted: int) -> None:
        self.model.resize(wanted)

    @rule(function=_functions, priority=_priorities)
    def submit(self, function: str, priority: int) -> None:
        self.model.submit(function, priority)

    @rule(
        calls=st.integers(0, 300), function=_functions, unsendable=st.sampled_from([0, 0, 1, 3]), priority=_priorities
    )
    def add_client(self, calls: int, function: str, unsendable: int, priority: int) -> None:
        self.model.add_client(calls, function, unsendable, priority=priority)

    @precondition(lambda self: self.model.clients)
    @rule(pick=_picks, calls=st.integers(1, 5))
    def refill(self, pick: int, calls: int) -> None:
        self.model.refill(self._pick(self.model.clients, pick), calls)

    @precondition(lambda self: self.model.clients)
    @rule(pick=_picks)
    def drop(self, pick: int) -> None:
        self.model.drop(self._pick(self.model.clients, pick))

    @precondition(lambda self: self.model.unsettled)
    @rule(pick=_picks)
    def cancel(self, pick: int) -> None:
        self.model.cancel(self._pick(self.model.unsettled, pick))

    @precondition(lambda self: self.model.workers)
    @rule(pick=_picks, requests=st.integers(1, 200), finished=st.integers(0, 20), answers=st.integers(0, 20))
    def work(self, pick: int, requests: int, finished: int, answers: int) -> None:
        worker = self._pick(self.model.workers.values(), pick)
        worker.work(requests, finished)
        if answers:
            self.model.deliver(worker, answers)

    @precondition(lambda self: self.model.workers)
    @rule(pick=_picks)
    def kill(self, pick: int) -> None:
        self.model.kill(self._pick(self.model.workers.values(), pick))

    @precondition(lambda self: self.model.workers)
    @rule(pick=_picks)
    def disconnect(self, pick: int) -> None:
        self._pick(self.model.workers.values(), pick).is_connected = False

    @rule(seconds=st.sampled_from([0.0, 0.0001, 0.003, 0.02, 0.2]))
    def pass_time(self, seconds: float) -> None:
        self.model.pass_time(seconds)

    def teardown(self) -> None:
        if hasattr(self, "model"):
            self.model.check_end()


TestHistories: Any = pytest.mark.slow(deep(Histories.TestCase))
TestHistories.settings = settings(property_test, max_examples=repeats(10, 1000), stateful_step_count=40)


def _step(model: Model, random: Random) -> None:
    """Do one random thing; mostly calls go on."""
    function = random.choice([PLAIN, COROUTINE])
    worker = random.choice(list(model.workers.values())) if model.workers else None
    match random.choices(range(12), [60, 12, 6, 3, 4, 1, 2, 1, 2, 1, 2, 12])[0]:
        case 0 if worker:
            worker.work(random.randrange(20), random.randrange(9))
            model.deliver(worker, random.randrange(9))
        case 1:
            model.submit(function, random.choice([0, 0, random.randrange(-50, 50)]))
        case 2 if len(model.unsettled) < 200:
            model.add_client(
                random.randrange(60), function, random.choice([0, 0, 0, 1, 5]), priority=random.randrange(2)
            )
        case 3 if model.clients:
            model.refill(random.choice(model.clients), random.randrange(1, 5))
        case 4 if unsettled := model.unsettled:
            model.cancel(random.choice(unsettled))
        case 5 if model.clients:
            model.drop(random.choice(model.clients))
        case 6 if worker:
            model.kill(worker)
        case 7 if worker:
            worker.is_connected = False
        case 8 if running := model.running:
            model.time_out(*random.choice(running))
        case 9 if worker:
            model.outgrow(worker)
        case 10 if expiring := model.expiring:
            model.succeed(random.choice(expiring), random.randrange(1, 4))
        case _:
            model.pass_time(random.choice([0.0001, 0.003, 0.03]))
    if len(model.workers) < random.randrange(6):
        model.add_worker(random.randrange(1, 4), random.choice([None, None, 1, 3, 40]))
    elif random.random() < 0.01:
        model.resize(random.randrange(1, 5))


@deep
@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("part", range(4))
def test_long_histories(part: int) -> None:
    for seed in range(part, _STEPS // _HISTORY, 4):
        random = Random(seed)
        on: Any = random.choice([(), (CallTimeout,), ("ValueError",)])
        retry = Retry(random.randrange(3), on, random.choice([0, 0.01, 1]), random.choice([0, 0.01]))
        model = Model(retry, seed, random.choice([None, None, 1000.0]))
        for _ in range(_HISTORY):
            _step(model, random)
        model.check_end()


# The most ticks of 10 s in which nothing happens: one each 20 ms, and a few that come soon after an event.
_FEW_TICKS = 505


@pytest.mark.parametrize("pending", [Supply.EXHAUSTED, Supply.MORE])
def test_a_long_call_beside_an_idle_worker_costs_few_ticks(pending: Supply) -> None:
    model = Model(retries=0, seed=0)
    model.nested = 0
    model.add_worker(1)
    model.add_worker(1)
    model.add_client(1, PLAIN, pending=pending)
    model.pass_time(10)
    assert 490 < model.ticks < _FEW_TICKS


def test_a_long_call_that_others_wait_for_costs_few_ticks() -> None:
    model = Model(retries=0, seed=0)
    model.nested = 0
    model.add_worker(1)
    model.add_client(12, PLAIN)
    worker = model.workers[0]
    for _ in range(9):
        model.pass_time(0.001)
        worker.work(200, 1)
        model.deliver(worker, 1)
    model.pass_time(1)
    worker.work(200, 0)
    model.deliver(worker, 200)
    assert model.scheduler.status.running == 1, "the others were revoked"
    model.ticks = 0
    model.pass_time(10)
    assert 490 < model.ticks < _FEW_TICKS
