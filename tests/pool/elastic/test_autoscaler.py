"""The decisions about the size of an elastic pool: no process, no clock."""

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from aioparcs.pool.scheduler import Load, PendingCall, WorkerState
from aioparcs.pool.sizing import Autoscaler, Bounds, Replicas
from tests.pool.fakes import PLAIN, FakeClient
from tests.support.deep import deep, repeats
from tests.support.strategies import property_test

IDLE = 30.0
BUSY = Load(idle=0, waiting=None)


def sizes(autoscaler: Autoscaler, wanted: int, load: Load = BUSY) -> list[int]:
    """Return the sizes of a pool whose starts succeed, until it grows no more."""
    found: list[int] = []
    while more := autoscaler.growth(load, wanted, 0, 0.0):
        wanted += more
        autoscaler.started(wanted, 0, 0.0)
        found.append(wanted)
    return found


def workers(count: int, since: float) -> list[WorkerState]:
    states = [WorkerState(number, concurrency=1) for number in range(count)]
    for state in states:
        state.since = since
    return states


def give_call(worker: WorkerState, now: float) -> None:
    call = PendingCall(FakeClient(1, PLAIN), 0, PLAIN, (), {})
    call.call_id = 7
    worker.add([call], now)


def test_a_pool_doubles_up_to_the_most_while_calls_wait() -> None:
    assert sizes(Autoscaler(Bounds(2, 60), IDLE), 2) == [4, 8, 16, 32, 60]
    assert sizes(Autoscaler(Bounds(0, 5), IDLE), 0) == [1, 2, 4, 5]


def test_no_more_workers_are_started_than_there_are_calls_for() -> None:
    autoscaler = Autoscaler(Bounds(2, 60), IDLE)
    assert autoscaler.growth(Load(0, 3), wanted=20, starting=0, now=0.0) == 3
    assert autoscaler.growth(Load(0, 3), wanted=20, starting=2, now=0.0) == 1
    assert autoscaler.growth(Load(0, 3), wanted=20, starting=5, now=0.0) == 0
    assert autoscaler.growth(Load(0, 0), wanted=20, starting=0, now=0.0) == 0
    assert autoscaler.growth(Load(1, None), wanted=20, starting=0, now=0.0) == 0


def test_after_a_failed_start_half_as_many_are_started_after_a_pause() -> None:
    autoscaler = Autoscaler(Bounds(1, 60), IDLE)
    starts: list[tuple[float, int]] = []
    now = 100.0
    while len(starts) < 9:
        if more := autoscaler.growth(BUSY, 16, 0, now):
            starts.append((now - 100.0, more))
            autoscaler.started(16, more, now)
        now += 0.5
    assert starts == [(0, 16), (1, 8), (3, 4), (7, 2), (15, 1), (31, 1), (63, 1), (123, 1), (183, 1)]
    now += 60
    for step in (1, 2, 4, 8, 16):
        assert autoscaler.growth(BUSY, 16, 0, now) == step
        assert autoscaler.is_limited == (step < 16)
        autoscaler.started(16, 0, now)
    autoscaler.started(16, 6, now)
    assert autoscaler.growth(BUSY, 16, 0, now + 1) == 3, "the others of that start are there"


def test_the_youngest_of_the_idle_workers_leave_and_never_too_many() -> None:
    autoscaler = Autoscaler(Bounds(2, 60), IDLE)
    states = workers(6, since=100.0)
    assert autoscaler.surplus(states, 6, 129.9) == []
    assert autoscaler.surplus(states, 6, 130.0) == [5, 4, 3, 2]
    give_call(states[4], 120.0)
    assert autoscaler.surplus(states, 6, 150.0) == [5, 3, 2, 1]
    assert autoscaler.surplus(states, 3, 150.0) == [5], "others that leave already count"
    states[3].is_expiring = True
    assert autoscaler.surplus(states, 6, 150.0) == [5, 2, 1], "another one is about to take its place"


@pytest.mark.parametrize("bounds, sizes", [(Bounds(2, 5), [2, 3, 5]), (Bounds(3, 3), [3, 3, 3])], ids=str)
def test_bounds_keep_a_size_within_them(bounds: Bounds, sizes: list[int]) -> None:
    assert [bounds.clamp(size) for size in (0, 3, 9)] == sizes
    assert bounds.is_elastic == (bounds.least < bounds.most)


class Sizes(RuleBasedStateMachine):
    """Random histories of a pool's size: starts of which some fail, deaths, replacements, work, and time."""

    autoscaler: Autoscaler

    @initialize(least=st.integers(0, 4), more=st.integers(1, 40))
    def begin(self, least: int, more: int) -> None:
        self.bounds = Bounds(least, least + more)
        self.autoscaler = Autoscaler(self.bounds, IDLE)
        self.replicas = Replicas()
        self.replicas.resize(least)
        self.now = 100.0
        self.up = {state.id: state for state in workers(least, self.now)}
        self.count = least
        self.failed_at: float | None = None

    def _add(self, count: int) -> None:
        for number in range(self.count, self.count + count):
            self.up[number] = WorkerState(number, concurrency=1)
            self.up[number].since = self.now
        self.count += count

    @rule(waiting=st.one_of(st.none(), st.integers(0, 50)), failures=st.integers(0, 40))
    def look(self, waiting: int | None, failures: int) -> None:
        idle = sum(state.is_idle for state in self.up.values())
        before = self.replicas.wanted
        more = self.autoscaler.growth(Load(idle, waiting), before, self.replicas.starting, self.now)
        if not more:
            return
        assert not idle
        assert waiting is None or more <= waiting
        assert more <= max(1, before)
        assert self.failed_at is None or self.now >= self.failed_at + 1
        failures = min(failures, more)
        self.replicas.resize(before + more)
        self._add(more - failures)
        self.replicas.withdraw(failures)
        self.autoscaler.started(self.replicas.wanted, failures, self.now)
        self.failed_at = self.now if failures else None

    @rule()
    def release(self) -> None:
        before = len(self.up)
        for number in self.autoscaler.surplus(self.up.values(), self.replicas.wanted, self.now):
            assert not self.up[number].calls, "it has work"
            del self.up[number]
            self.replicas.withdraw(1)
        assert len(self.up) >= min(before, self.bounds.least), "too many have left"

    @precondition(lambda self: self.up)
    @rule(pick=st.integers(0, 1 << 16))
    def die(self, pick: int) -> None:
        del self.up[list(self.up)[pick % len(self.up)]]

    @precondition(lambda self: len(self.up) < self.replicas.wanted)
    @rule()
    def replace(self) -> None:
        self._add(1)

    @precondition(lambda self: self.up)
    @rule(pick=st.integers(0, 1 << 16), is_done=st.booleans())
    def work(self, pick: int, is_done: bool) -> None:
        worker = list(self.up.values())[pick % len(self.up)]
        if is_done and worker.calls:
            worker.take_results([(7, True, None)])
            worker.measure(1, self.now)
        elif not worker.calls:
            give_call(worker, self.now)

    @rule(seconds=st.sampled_from([0.1, 1.0, 10.0, 100.0]))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds

    @rule(least=st.integers(0, 4), more=st.integers(0, 40))
    def resize(self, least: int, more: int) -> None:
        self.autoscaler.bounds = self.bounds = Bounds(least, max(1, least + more))
        self._add(self.replicas.resize(self.bounds.clamp(self.replicas.wanted)))
        for number in self.replicas.surplus(self.up.values()):
            del self.up[number]

    @invariant()
    def check(self) -> None:
        if hasattr(self, "bounds"):
            assert self.bounds.least <= self.replicas.wanted <= self.bounds.most
            assert len(self.up) <= self.replicas.wanted

    def teardown(self) -> None:
        """Check that nothing but the least is left without work, and that much work reaches the most."""
        if not hasattr(self, "bounds"):
            return
        self._add(self.replicas.wanted - len(self.up))
        for state in self.up.values():
            state.take_results([(7, True, None)])
            state.since = self.now
        self.now += IDLE + 1
        self.release()
        assert len(self.up) == self.replicas.wanted == self.bounds.least
        for _ in range(20):
            self.now += 100
            for state in self.up.values():
                give_call(state, self.now)
            self.look(None, 0)
        assert len(self.up) == self.bounds.most


TestSizes: Any = pytest.mark.slow(deep(Sizes.TestCase))
TestSizes.settings = settings(property_test, max_examples=repeats(20, 2000), stateful_step_count=40)


def test_a_worker_is_idle_from_the_end_of_its_last_stream_on() -> None:
    (worker,) = workers(1, 0.0)
    worker.add_stream()
    assert worker.idle_time(40.0) == 0.0
    worker.remove_stream(40.0)
    assert worker.idle_time(50.0) == 10.0
