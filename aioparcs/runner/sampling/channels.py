"""The samples of workers' channels: what they have carried, once a second, for those who watch the job's calls."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import islice
from time import monotonic

from aioparcs.channel import Channel
from aioparcs.events import ChannelSample, ChannelSamples, EventBus
from aioparcs.runner.registry import JobRegistry

__all__ = ["ChannelSampler"]

# Seconds between two events, and the samples in one: of more channels that change each has one now and then.
_PERIOD, _LARGEST = 1.0, 100
# Channels that are looked at in a period, in turn: of thousands all would take as many hundredths of a second.
_MOST = 1000


class ChannelSampler:
    """
    Publishes what channels have carried, while a subscriber wants calls.

    It only reads counters that channels have anyway.

    Args:
        registry: the job's connections.
        events: gets the samples.
    """

    def __init__(self, registry: JobRegistry, events: EventBus) -> None:
        self._registry = registry
        self._events = events
        self._last: dict[int, ChannelSample] = {}  # by worker, the one that was looked at longest ago first

    async def run(self) -> None:
        """Publish samples until it is cancelled."""
        while True:
            await asyncio.sleep(_PERIOD)
            self.publish()

    def finish(self) -> None:
        """Publish the last samples of all channels."""
        while self.publish(len(self._registry.tasks)):
            pass

    def publish(self, most: int = _MOST) -> int:
        """Publish samples of channels that have changed, of so many, if wanted; return how many these were."""
        if not self._events.wants_calls:
            return 0
        self._last = {number: last for number, last in self._last.items() if number in self._registry.tasks}
        samples = tuple(islice(self._changed(most), _LARGEST))
        if samples:
            self._events.publish(ChannelSamples(monotonic(), samples))
        return len(samples)

    def _changed(self, most: int) -> Iterator[ChannelSample]:
        """Yield the samples of channels that have changed: new ones, then those that wait longest to be looked at."""
        tasks, known = self._registry.tasks, self._last
        new = [number for number, task in tasks.items() if number not in known and task.is_connected]
        for number in (*new[:most], *islice(tuple(known), max(0, most - len(new)))):
            sample, last = _sample(number, tasks[number].channel), known.pop(number, None)
            known[number] = sample
            if sample != last:
                yield sample


def _sample(worker: int, channel: Channel) -> ChannelSample:
    now = channel.statistics()
    sent, received = now.messages_sent, channel.frames_received
    return ChannelSample(worker, sent, received, now.bytes_sent, now.bytes_received, now.bytes_unsent, now.bytes_unread)
