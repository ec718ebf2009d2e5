"""The processor time and memory of workers, asked of their launchers for those who watch the job's calls."""

from __future__ import annotations

import asyncio
from time import monotonic

from aioparcs.events import EventBus, Use, WorkerUsage
from aioparcs.messages.launcher import Usage
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
            launcher.request_usage(self._publish)

    def _publish(self, usage: Usage) -> None:
        if usage.workers:
            self._events.publish(WorkerUsage(monotonic(), tuple(Use(*used) for used in usage.workers)))
