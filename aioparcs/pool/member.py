"""One worker of a pool: the calls that it has, and how many it should have."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from aioparcs.channel import RECALLED, read_result
from aioparcs.errors import DecodeError
from aioparcs.pool.work import Work
from aioparcs.task import Task
from aioparcs.wire import Frame

__all__ = ["Member"]

# Seconds of work that a worker should have in front of it, so that it never waits for the wire, nor for this program
# while that is busy; and how many calls that may be.
_AHEAD, _MOST = 0.005, 64
# What a new duration weighs in the average of all before it.
_WEIGHT = 0.2
# A call is a slow one when it takes so much longer than those before it, and so many seconds.
_SLOW_FACTOR, _SLOW = 4.0, 0.02


class Member:
    """
    A worker, and its calls in the order in which they were sent.

    Args:
        task: the worker.
        concurrency: how many calls it runs at once.
        settle: called with a call, whether it succeeded, and its result or the error.
        returned: called with a call that was given back before it began.

    Attributes:
        task: the worker.
        calls: what was sent and not answered, by id.
        window: how many calls it should have.
        concurrency: how many calls it runs at once.
        is_leaving: True when it gets no more calls.
    """

    def __init__(
        self,
        task: Task,
        concurrency: int,
        settle: Callable[[Work, bool, Any], None],
        returned: Callable[[Work], None],
    ) -> None:
        self.task = task
        self.calls: dict[int, Work] = {}
        self.is_leaving = False
        self._settle = settle
        self._returned = returned
        self.concurrency = concurrency
        self._now = asyncio.get_running_loop().time
        self._pace = 0.0  # seconds between two answers, on average
        self._since = 0.0  # of the last answer, or of the first call
        self.window = concurrency + 1
        self._finished: asyncio.Future[None] | None = None

    @property
    def has_room(self) -> bool:
        """True when it should get another call."""
        return len(self.calls) < self.window and not self.is_leaving and self.task.channel.has_room

    @property
    def is_idle(self) -> bool:
        """True when it has less to do than it could."""
        return len(self.calls) < self.concurrency and not self.is_leaving

    @property
    def waiting(self) -> list[Work]:
        """The calls that it has not begun, as far as can be known here, and that were not asked back yet."""
        return [work for work in list(self.calls.values())[self.concurrency :] if not work.is_recalled]

    @property
    def age(self) -> float:
        """Seconds since anything was heard of its calls, 0 if it has none."""
        return self._now() - self._since if self.calls else 0.0

    @property
    def is_slow(self) -> bool:
        """True when what it runs is a slow call, and those behind it should not wait for it."""
        return self.age > _SLOW + _SLOW_FACTOR * self._pace

    def send(self, work: Work) -> None:
        """
        Send a call.

        Raises:
            EncodeError: an argument has no form on the wire.
            ParcsError: the worker takes no more; its end is about to be known.
        """
        work.member = self
        work.is_recalled = False
        work.call_id = call_id = self.task.channel.post_call(work, work.function, work.args, work.kwargs)
        if not self.calls:
            self._since = self._now()
        self.calls[call_id] = work

    def recall(self, work: Work) -> None:
        """Ask for a call back; `returned` hears of it unless it has begun."""
        work.is_recalled = True
        self.task.channel.recall(work.call_id)

    def cancel(self, work: Work) -> None:
        """Take a call back, or stop it if it can be stopped; its answer comes in any case."""
        self.task.channel.cancel_call(work.call_id)

    async def finish(self) -> None:
        """Wait until it has no calls, and end it. It should be given none."""
        if self.calls:
            self._finished = asyncio.get_running_loop().create_future()
            await self._finished
        await self.task.shutdown()

    def slow_down(self) -> None:
        """Send nothing ahead until it answers again."""
        self._pace = max(self._pace, self.age)
        self.window = self.concurrency

    def answered(self, work: Work, frame: Frame) -> None:
        """Take the answer to a call."""
        now = self._now()
        self._pace += _WEIGHT * (now - self._since - self._pace)
        self._since = now
        self._adapt()
        del self.calls[work.call_id]
        if self._finished and not self.calls:
            self._finished.set_result(None)
            self._finished = None
        try:
            ok, value = read_result(frame)
        except DecodeError as error:
            ok, value = False, error
        if not ok:
            if work.is_recalled and getattr(value, "type", "") == RECALLED:
                self._returned(work)
                return
            value.worker = self.task.name
        self._settle(work, ok, value)

    def _adapt(self) -> None:
        ahead = _MOST if self._pace * _MOST <= _AHEAD else int(_AHEAD / self._pace)
        self.window = self.concurrency + max(1, ahead)
