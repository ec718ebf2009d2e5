"""The use of processors and memory: what launchers say of their workers, and when they are asked."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aioparcs.events import Event, EventBus, PeerChange, PeersChanged, WorkerUsage
from aioparcs.launcher.agent import usage
from aioparcs.launcher.agent.usage import UsageMeter
from aioparcs.runner.sampling import UsageSampler
from aioparcs.runner.sampling import usage as sampling
from tests.support.jobs import job, module
from tests.support.waiting import until

pytestmark = pytest.mark.one_loop

BURNER = """
import time
from aioparcs import serve

held = []

def burn(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass

def hold(size):
    held.append(b"x" * size)

serve(burn, hold)
"""


class Usages:
    """A subscriber that remembers the events on usage."""

    def __init__(self) -> None:
        self.all: list[WorkerUsage] = []

    def __call__(self, event: Event) -> None:
        if isinstance(event, WorkerUsage):
            self.all.append(event)

    async def ask(self, sampler: UsageSampler) -> WorkerUsage:
        """Ask the launchers, and return what the next one to answer says."""
        count = len(self.all)
        sampler.ask()
        await until(lambda: len(self.all) > count)
        return self.all[-1]


async def request_until(sampler: UsageSampler, condition: Callable[[], bool]) -> None:
    """Ask the launchers until a condition holds."""

    def holds() -> bool:
        sampler.ask()
        return condition()

    await until(holds)


@pytest.mark.slow
async def test_launchers_report_processor_time_and_memory(tmp_path: Path) -> None:
    events, usages = EventBus(), Usages()
    events.subscribe(usages)
    async with job(module(tmp_path, "burner", BURNER)) as runner, runner.start_many("burner", 2) as (busy, idle):
        sampler = UsageSampler(runner._job.registry, events)
        before = await usages.ask(sampler)
        await busy.call("burn", 0.3)
        await idle.call("hold", 30 << 20)
        after = await usages.ask(sampler)
    was, now = ({use.worker: use for use in event.usages} for event in (before, after))
    assert set(was) == set(now) == {busy.worker, idle.worker}
    assert now[idle.worker].memory - was[idle.worker].memory >= 29 << 20
    assert 0 <= now[idle.worker].cpu < now[busy.worker].cpu <= 1.5
    assert was[busy.worker].memory > 1 << 20


@pytest.mark.slow
async def test_a_worker_that_has_ended_is_not_in_the_report() -> None:
    events, usages = EventBus(), Usages()
    events.subscribe(usages)
    async with job() as runner, runner.start("talker") as one:
        sampler = UsageSampler(runner._job.registry, events)
        async with runner.start("talker") as other:
            assert {use.worker for use in (await usages.ask(sampler)).usages} <= {one.worker, other.worker}
        await until(lambda: other.worker not in runner._job.state.workers)
        assert [use.worker for use in (await usages.ask(sampler)).usages] == [one.worker]


@pytest.mark.slow
@pytest.mark.parametrize("option", ["recorder", "calls"])
async def test_launchers_get_requests_where_a_subscriber_wants_calls(
    option: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampling, "_FIRST", 0.01)
    monkeypatch.setattr(sampling, "_PERIOD", 0.02)
    usages, calls = Usages(), option == "calls"
    subscriber: dict[str, Any] = {option: usages}
    async with job(**subscriber) as runner, runner.start("talker") as task:
        for value in range(20):
            await task.send(["echo", value])
            await task.recv()
        await until(lambda: len(usages.all) > 2 or not calls)
    assert bool(usages.all) is calls


@pytest.mark.slow
async def test_channels_between_workers_are_reported_while_they_are_open() -> None:
    events, changes = EventBus(), list[PeerChange]()
    events.subscribe(lambda event: changes.extend(event.changes) if isinstance(event, PeersChanged) else None)
    async with job() as runner, runner.start_many("peers", 3) as (one, other, third):
        sampler = UsageSampler(runner._job.registry, events)
        addresses = []
        for task in (other, third):
            await task.send(["where"])
            addresses.append(await task.recv())
        for address in addresses:
            await one.send(["dial", address])
            await one.recv()
        await request_until(sampler, lambda: len(changes) == 2)
        assert sorted(changes) == [(0, 1, True), (0, 2, True)]
        third.abort()
        await request_until(sampler, lambda: len(changes) == 3)
        assert changes[2] == (0, 2, False)


def test_this_process_is_measured_and_one_that_has_ended_is_left_out() -> None:
    meter = UsageMeter()
    meter.add(3, os.getpid())
    meter.add(4, 1 << 30)  # there is none
    meter.add(5, os.getpid())
    meter.remove(5)
    (use,) = meter.measure().workers
    assert (use.worker, use.memory > 10 << 20, use.cpu > 0) == (3, True, True)


def test_a_report_has_at_most_so_many_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage, "MOST_USAGES", 2)
    meter = UsageMeter()
    for worker in range(5):
        meter.add(worker, os.getpid())
    assert [use.worker for use in meter.measure().workers] == [0, 1]


def test_channels_between_workers_are_counted_and_end_with_either_of_them() -> None:
    meter = UsageMeter()
    for worker, peer, is_open in [(0, 1, True), (0, 1, True), (0, 1, False), (2, 0, True), (3, 4, True), (3, 4, False)]:
        meter.note_peer(worker, peer, is_open)
    meter.note_peer(5, 6, False)  # that it was opened was not read
    assert meter.measure().peers == [(0, 1), (2, 0)]
    meter.remove(1)
    assert meter.measure().peers == [(2, 0)]
    meter.remove(2)
    assert meter.measure().peers == []


def test_not_more_than_so_many_channels_are_noted_and_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage, "_MOST_NOTED", 3)
    monkeypatch.setattr(usage, "MOST_PEERS", 2)
    meter = UsageMeter()
    for peer in range(1, 6):
        meter.note_peer(0, peer, True)
    assert meter.measure().peers == [(0, 1), (0, 2)]
    for peer in range(1, 6):
        meter.note_peer(0, peer, False)
    assert meter.measure().peers == []
