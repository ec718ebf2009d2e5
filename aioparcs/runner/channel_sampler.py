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
        self._last: dict[int, ChannelSample] = {}  # by worker, the one that was published longest ago first

    async def run(self) -> None:
        """Publish samples until it is cancelled."""
        while True:
            await asyncio.sleep(_PERIOD)
            self.publish()

    def finish(self) -> None:
        """Publish the last samples of all channels."""
        while self.publish():
            pass

    def publish(self) -> int:
        """Publish samples of channels that have changed, if they are wanted; return how many these were."""
        if not self._events.wants_calls:
            return 0
        self._last = {number: last for number, last in self._last.items() if number in self._registry.tasks}
        samples = tuple(islice(self._changed(), _LARGEST))
        for sample in samples:
            self._last.pop(sample.worker, None)
            self._last[sample.worker] = sample
        if samples:
            self._events.publish(ChannelSamples(monotonic(), samples))
        return len(samples)

    def _changed(self) -> Iterator[ChannelSample]:
        """Yield the samples of channels that have changed: new ones, then those whose last sample is the oldest."""
        tasks, known = self._registry.tasks, self._last
        for number in (*(number for number in tasks if number not in known), *known):
            if tasks[number].is_connected:
                sample = _sample(number, tasks[number].channel)
                if sample != known.get(number):
                    yield sample


def _sample(worker: int, channel: Channel) -> ChannelSample:
    now = channel.statistics()
    sent, received = now.messages_sent, channel.frames_received
    return ChannelSample(worker, sent, received, now.bytes_sent, now.bytes_received, now.bytes_unsent, now.bytes_unread)
