"""The trace of tasks: when their workers ran which calls."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from functools import partial
from time import monotonic
from typing import Any

from aioparcs.errors import call_text
from aioparcs.events import CallsRunning, EventBus, RunningCall
from aioparcs.task.spans import SpanCollector

__all__ = ["TaskTrace"]

_LONG = 1.0  # seconds from which a call counts as one that runs for long, and between two reports of them
_MOST, _LONGEST = 100, 200  # calls in a report, and characters of a call's text


class TaskTrace(SpanCollector):
    """
    Collects the calls of tasks, and reports those that run for over a second.

    Args:
        events: gets the spans and the reports.
    """

    def __init__(self, events: EventBus) -> None:
        super().__init__(events, None)
        self._running: dict[int, tuple[int, str, Sequence[Any], Mapping[str, Any], float]] = {}
        self._number = 0
        self._shown: list[int] = []
        self._next: asyncio.TimerHandle | None = None

    async def call(
        self, worker: int, function: str, args: Sequence[Any], kwargs: Mapping[str, Any], result: Awaitable[Any]
    ) -> Any:
        """
        Wait for the result of a call, and note when it began and ended.

        Args:
            worker: the worker's number.
            function: the name of the function.
            args: its arguments.
            kwargs: its keyword arguments.
            result: waits for the result.

        Returns:
            The result. An error of the call is raised; cancelling this cancels the call.
        """
        number, begin = self._number, monotonic()
        self._number += 1
        self._running[number] = worker, function, args, kwargs, begin
        self._watch()
        error: BaseException | None = None
        try:
            return await result
        except BaseException as raised:
            error = raised
            raise
        finally:
            del self._running[number]
            self.ended(worker, function, begin, monotonic(), error, partial(call_text, -1, function, args, kwargs))
            del error  # it refers to this frame

    def close(self) -> None:
        """Publish what is there, and report that no call runs."""
        if self._next is not None:
            self._next.cancel()
        self._running.clear()
        self._report(monotonic())
        self.publish()

    def _watch(self) -> None:
        if self._next is None:
            self._next = asyncio.get_running_loop().call_later(_LONG, self._look)

    def _look(self) -> None:
        self._next = None
        self._report(monotonic())
        if self._running:
            self._watch()

    def _report(self, now: float) -> None:
        """Publish the calls that run for long, the oldest first, if they are others than before."""
        shown = [number for number, call in self._running.items() if now - call[-1] > _LONG][:_MOST]
        if shown != self._shown:
            self._shown = shown
            calls = (self._running[number] for number in shown)
            self._events.publish(CallsRunning(now, None, tuple(map(_running_call, calls))))


def _running_call(call: tuple[int, str, Sequence[Any], Mapping[str, Any], float]) -> RunningCall:
    worker, function, args, kwargs, begin = call
    return RunningCall(worker, function[:_LONGEST], call_text(-1, function, args, kwargs)[:_LONGEST], begin)
