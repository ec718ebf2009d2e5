"""The samples of channels: what they count is what was sent and received, and only who wants them gets them."""

import asyncio
from itertools import pairwise

import pytest

from aioparcs.events import ChannelSample, ChannelSamples, Event, EventBus, WorkersRequested
from aioparcs.runner.sampling import ChannelSampler, channels
from tests.support.jobs import job
from tests.support.waiting import until

pytestmark = pytest.mark.one_loop


class Samples:
    """
    A subscriber that remembers.

    Attributes:
        last: the last sample of each worker.
        all: all events.
        parents: who has started each worker.
    """

    def __init__(self) -> None:
        self.last: dict[int, ChannelSample] = {}
        self.all: list[ChannelSamples] = []
        self.parents: dict[int, int | None] = {}

    def __call__(self, event: Event) -> None:
        if isinstance(event, ChannelSamples):
            self.all.append(event)
            self.last |= {sample.worker: sample for sample in event.samples}
        elif isinstance(event, WorkersRequested):
            self.parents |= dict.fromkeys(event.workers, event.parent)


@pytest.mark.slow
async def test_the_last_samples_count_all_frames_and_bytes() -> None:
    samples = Samples()
    async with job(calls=samples) as runner:
        async with runner.pool("crunch", 2, function="sleep") as pool:
            await pool.map([0.0] * 100)
        async with runner.start("talker") as task:
            for number in (*range(10), b"x" * 100_000):
                await task.send(["echo", number])
                await task.recv()
            talker = task.worker
    first, second, last = (samples.last[number] for number in (0, 1, talker))
    assert first.sent + second.sent >= 100 <= first.received + second.received
    assert first.bytes_received > first.received > 0 < second.sent
    assert 11 <= last.received <= 20
    assert 11 <= last.sent <= 20
    assert 100_000 < last.bytes_received < 110_000 > last.bytes_sent > 100_000
    assert {sample.queued for sample in (first, second, last)} == {0}


@pytest.mark.slow
async def test_samples_come_while_the_program_runs_and_only_of_what_has_changed() -> None:
    samples = Samples()
    async with job(calls=samples) as runner, runner.start("talker") as task, runner.start("talker") as idle:
        sizes = [0]
        for _ in range(3):
            await task.send(["echo", "some text"])
            await until(lambda: _unread(samples, task.worker) > sizes[-1])
            sizes.append(_unread(samples, task.worker))
        assert idle.worker in samples.last
        own = [sample for event in samples.all for sample in event.samples if sample.worker == task.worker]
        assert all(one.sent <= other.sent and one != other for one, other in pairwise(own))
        assert [one.worker for event in samples.all for one in event.samples].count(idle.worker) == 1
        assert sizes == [0, 18, 36, 54]
        for _ in range(3):
            await task.recv()
        await task.send(["echo", "some text"])
        await until(lambda: _unread(samples, task.worker) == 18)


def _unread(samples: Samples, worker: int) -> int:
    return samples.last[worker].unread if worker in samples.last else 0


async def test_nothing_is_published_where_no_subscriber_wants_calls() -> None:
    samples = Samples()
    async with job(recorder=samples) as runner, runner.start("talker") as task:
        await task.send(["echo", 1])
        await task.recv()
    assert not samples.all


async def test_an_event_has_at_most_so_many_samples_and_those_that_wait_longest_come_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(channels, "_LARGEST", 2)
    events, samples = EventBus(), Samples()
    events.subscribe(samples, calls=True)
    async with job() as runner:
        tasks = await runner.start_many("talker", 3)
        sampler = ChannelSampler(runner._job.registry, events)
        counts = [sampler.publish() for _ in range(3)]
        for task in tasks:
            await task.send(["echo", 1])
        counts += [sampler.publish() for _ in range(3)]
        await asyncio.gather(*(task.recv() for task in tasks))
    assert counts == [2, 1, 0, 2, 1, 0]
    assert [[one.worker for one in event.samples] for event in samples.all] == [[0, 1], [2], [2, 0], [1]]


async def test_only_so_many_channels_are_looked_at_each_time_and_all_in_turn() -> None:
    events, samples = EventBus(), Samples()
    events.subscribe(samples, calls=True)
    async with job() as runner:
        tasks = await runner.start_many("talker", 5)
        sampler = ChannelSampler(runner._job.registry, events)
        counts = [sampler.publish(2) for _ in range(4)]
        for task in tasks:
            await task.send(["echo", 1])
        counts += [sampler.publish(2) for _ in range(2)]
        sampler.finish()
        await asyncio.gather(*(task.recv() for task in tasks))
    assert counts == [2, 2, 1, 0, 2, 2]
    assert {number: sample.sent for number, sample in samples.last.items()} == dict.fromkeys(range(5), 1)


@pytest.mark.slow
async def test_who_has_started_a_worker_is_in_its_request() -> None:
    samples = Samples()
    async with job(recorder=samples) as runner, runner.start("tree") as root:
        await root.send(["start_tree", 1, 2])
        await root.recv()
    assert samples.parents == {0: None, 1: 0, 2: 0}
