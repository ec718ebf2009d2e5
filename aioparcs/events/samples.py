"""The records of what is measured now and then: channels, processes of workers, and peers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from aioparcs.events.records import Event

__all__ = ["ChannelSample", "ChannelSamples"]


class ChannelSample(NamedTuple):
    """
    What a worker's channel to the runner has carried so far, seen from the runner.

    Attributes:
        worker: its number.
        sent: frames that were written: messages, calls, pings.
        received: frames that have arrived and were taken: messages, results of calls, pings.
        bytes_sent: bytes that were written.
        bytes_received: bytes that have arrived.
        queued: bytes that wait to be written: the worker doesn't read, or the network is slow.
        unread: bytes that have arrived and that the program has not received.
    """

    worker: int
    sent: int
    received: int
    bytes_sent: int
    bytes_received: int
    queued: int
    unread: int = 0


@dataclass(frozen=True, slots=True)
class ChannelSamples(Event):
    """
    The channels that have carried something, published only where a subscriber wants calls.

    Attributes:
        samples: of channels that have changed since their last sample, which was at least a second ago; at most 1,000.
    """

    samples: tuple[ChannelSample, ...]
