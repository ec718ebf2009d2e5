"""The usage of workers, and their channels to each other: asked of launchers for those who watch the job's calls."""

from __future__ import annotations

import asyncio
from functools import partial
from time import monotonic

from aioparcs.events import EventBus, PeerChange, PeersChanged, Use, WorkerUsage
from aioparcs.messages.watching import MOST_PEERS, MOST_USAGES, Usage
from aioparcs.runner.registry import JobRegistry

__all__ = ["UsageSampler"]

# Seconds between two questions, and from when calls are wanted to the first one.
_PERIOD, _FIRST = 5.0, 1.0


class UsageSampler:
    """
    Publishes what workers use, while a subscriber wants calls; else no launcher is asked.

    Args:
        registry: the job's connections.
        events: gets what launchers report.
    """

    def __init__(self, registry: JobRegistry, events: EventBus) -> None:
        self._registry = registry
        self._events = events
        self._peers: dict[int, frozenset[tuple[int, int]]] = {}  # by launcher: the channels of its workers

    async def run(self) -> None:
        """Ask the launchers until it is cancelled."""
        while True:
            await asyncio.sleep(_FIRST)
            if self._events.wants_calls:
                self.ask()
                await asyncio.sleep(_PERIOD - _FIRST)

    def ask(self) -> None:
        """Ask each launcher that can say what its workers use, and has said it last time."""
        for launcher in self._registry.launchers.values():
            launcher.request_usage(partial(self._publish, launcher.slot))

    def _publish(self, launcher: int, usage: Usage) -> None:
        if used := tuple(Use(*one) for one in usage.workers[:MOST_USAGES]):
            self._events.publish(WorkerUsage(monotonic(), used))
        before = self._peers.get(launcher, frozenset())
        now = self._peers[launcher] = frozenset((one.worker, one.peer) for one in usage.peers[:MOST_PEERS])
        if changes := [PeerChange(*pair, pair in now) for pair in sorted(before ^ now)]:
            self._events.publish(PeersChanged(monotonic(), tuple(changes)))
