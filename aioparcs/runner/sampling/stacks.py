"""The stacks of calls that run for long, read for those who see a job only through its log."""

from __future__ import annotations

import asyncio
from time import monotonic

from aioparcs.events import CallsRunning, Event, EventBus, RunningCall, StackSample
from aioparcs.runner.registry import JobRegistry

__all__ = ["StackSampler"]

# Seconds between two looks; from when a call counts; and the longest time until its stack is read again, which is done
# when it has run for twice as long.
_PERIOD, _LONG, _RARE = 1.0, 4.0, 60.0
_MOST = 3  # workers whose stacks are read: those with the calls that have run for the longest time


class StackSampler:
    """
    Publishes where the workers are whose calls run for the longest time.

    Args:
        registry: the job's connections.
        events: has the calls that run for long, and gets the stacks.
    """

    def __init__(self, registry: JobRegistry, events: EventBus) -> None:
        self._registry = registry
        self._events = events
        self._running: dict[int | None, tuple[RunningCall, ...]] = {}  # by pool
        self._due: dict[RunningCall, float] = {}  # when each stack is read next

    async def run(self) -> None:
        """Read stacks until it is cancelled."""
        self._events.subscribe(self._note)
        try:
            while True:
                await asyncio.sleep(_PERIOD)
                await asyncio.gather(*(self._read(worker) for worker in self._wanted(monotonic())))
        finally:
            self._events.unsubscribe(self._note)

    def _note(self, event: Event) -> None:
        if isinstance(event, CallsRunning):
            self._running[event.pool] = event.calls

    def _wanted(self, now: float) -> list[int]:
        """Return the workers whose stacks are due."""
        oldest: dict[int, RunningCall] = {}  # by worker
        for call in sorted((call for own in self._running.values() for call in own), key=lambda call: call.begin):
            oldest.setdefault(call.worker, call)
        self._due = {call: self._due.get(call, call.begin + _LONG) for call in list(oldest.values())[:_MOST]}
        due = [call for call, time in self._due.items() if time <= now]
        self._due.update((call, now + min(_RARE, now - call.begin)) for call in due)
        return [call.worker for call in due]

    async def _read(self, worker: int) -> None:
        try:
            text = await self._registry.stacks.read(worker)
        except LookupError as error:
            text = str(error)
        self._events.publish(StackSample(monotonic(), worker, text))
