"""One worker of a pool: the calls that were sent to it, and the number that it should have."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from aioparcs.channel import CONCURRENCY, REVOKED, read_results
from aioparcs.errors import ProtocolError
from aioparcs.pool.call import PendingCall
from aioparcs.task import WorkerHandle
from aioparcs.wire import Decoder, Frame, frame_of

__all__ = ["PoolWorker", "Settled"]

# A call, whether it succeeded, and its result or the error.
Settled = tuple[PendingCall, bool, Any]

# Seconds of work that a worker should have in front of it, so that it never waits for the wire, nor for this program
# while that is busy; and how many calls that may be.
_AHEAD, _MOST = 0.005, 128
# What the average of all durations before keeps of its weight with each new one.
_KEPT = 0.8
# A call is a slow one when it takes so much longer than those before it, and so many seconds.
_SLOW_FACTOR, _SLOW = 4.0, 0.02


class _ConfigureCall:
    """The call that tells a worker how many calls to run at once, and asks which functions are coroutines."""

    function = CONCURRENCY
    kwargs: Mapping[str, Any] = {}
    call_id = -1

    def __init__(self, concurrency: int) -> None:
        self.args: Sequence[Any] = (concurrency,)


class PoolWorker:
    """
    A worker, and its calls in the order in which they were sent.

    Args:
        task: the worker.
        concurrency: how many calls it runs at once.
        settled: called with calls that were answered: whether each succeeded, and its result or the error.
        returned: called with calls that were given back before they began.

    Attributes:
        task: the worker.
        calls: the calls that were sent and not answered, by id.
        concurrency: how many calls it runs at once.
        is_leaving: True when it gets no more calls.
    """

    def __init__(
        self,
        task: WorkerHandle,
        concurrency: int,
        settled: Callable[[PoolWorker, list[Settled]], None],
        returned: Callable[[PoolWorker, list[PendingCall]], None],
    ) -> None:
        self.task = task
        self._client = task.channel.calls
        self.calls: dict[int, PendingCall] = {}
        self.is_leaving = False
        self.concurrency = concurrency
        self._settled = settled
        self._returned = returned
        self._recalled: set[int] = set()
        self._now = asyncio.get_running_loop().time
        self._pace = 0.0  # seconds between two answers, on average
        self._since = 0.0  # of the last answer, or of the first call
        self._window = concurrency + 1  # how many calls it should have
        self._finished: asyncio.Future[None] | None = None
        self._coroutines: frozenset[str] = frozenset()  # the names of functions of which several run at once
        self._question = _ConfigureCall(concurrency)
        self._client.set_result_handler(self._take_results)
        self._client.post_calls([self._question])

    @property
    def room(self) -> int:
        """The number of calls that may be sent to it now."""
        if self.is_leaving or not self._client.has_room:
            return 0
        return self._window - len(self.calls)

    @property
    def is_idle(self) -> bool:
        """True when it has less to do than it could."""
        return len(self.calls) < self.concurrency and not self.is_leaving

    @property
    def begun(self) -> list[PendingCall]:
        """The calls that it runs, if it is alive: one of a plain function, and as many others as may run at once."""
        plain: list[PendingCall] = []
        others: list[PendingCall] = []
        for work in self.calls.values():
            some, most = (others, self.concurrency) if work.function in self._coroutines else (plain, 1)
            if len(some) < most:
                some.append(work)
        return plain + others

    @property
    def waiting(self) -> list[PendingCall]:
        """The calls that it has not begun, as far as is known here, and that were not recalled yet."""
        if len(self.calls) < 2:
            return []
        begun = set(self.begun)
        return [work for work in self.calls.values() if work not in begun and work.call_id not in self._recalled]

    @property
    def age(self) -> float:
        """Seconds since its last answer, or its first call; 0 if it has no calls."""
        return self._now() - self._since if self.calls else 0.0

    @property
    def is_slow(self) -> bool:
        """True when what it runs is a slow call, and those behind it should not wait for it."""
        return self.age > _SLOW + _SLOW_FACTOR * self._pace

    def send(self, works: list[PendingCall]) -> list[Settled]:
        """
        Send calls to the worker.

        Returns:
            Those that can't be sent, as failures.

        Raises:
            ParcsError: the worker's channel has ended; the reason is about to be known.
        """
        rejected = self._client.post_calls(works)
        if not self.calls:
            self._since = self._now()
        for work in works:
            work.executor = self
            self.calls[work.call_id] = work
        for work, _ in rejected:
            self.calls.pop(work.call_id).executor = None
        return [(work, False, error) for work, error in rejected]

    def revoke(self, works: list[PendingCall]) -> None:
        """Ask the worker to return calls; ``returned`` is called with those that it has not begun."""
        for work in works:
            self._recalled.add(work.call_id)
            self._client.revoke(work.call_id)

    def cancel(self, work: PendingCall) -> None:
        """Cancel a call: it is taken back, or stopped if it can be; its answer comes in any case."""
        self._client.cancel_call(work.call_id)

    async def finish(self) -> None:
        """Wait until it has no calls, and end it. No more should be sent to it."""
        if self.calls:
            self._finished = asyncio.get_running_loop().create_future()
            await self._finished
        await self.task.shutdown()

    def take_unsent_results(self) -> None:
        """Read the results that it had not sent when it ended, and that its launcher has passed on."""
        self.is_leaving = True
        limit = len(self.task.unsent_results)
        decoder = Decoder(limit, limit)
        try:
            decoder.feed(self.task.unsent_results)
        except ProtocolError:
            return  # damaged: which calls have results is not known
        if decoder.frames:
            self._take_results([frame_of(frame) for frame in decoder.frames])

    def gone(self) -> list[PendingCall]:
        """Mark it as gone, and return the calls that it had, in order."""
        works = list(self.calls.values())
        self.is_leaving = True
        self.calls.clear()
        for work in works:
            work.executor = None
        self._settle_finished()
        return works

    def _settle_finished(self) -> None:
        if self._finished and not self._finished.done():
            self._finished.set_result(None)

    def stop_prefetch(self) -> None:
        """Limit it to the calls that it can run at once, until it answers again."""
        self._pace = max(self._pace, self.age)
        self._window = self.concurrency

    def _take_results(self, results: Sequence[Frame | bytes]) -> None:
        """Handle the answers to calls that have arrived together."""
        calls = self.calls
        settled: list[Settled] = []
        returned: list[PendingCall] = []
        for call_id, ok, value in read_results(results):
            work = calls.pop(call_id, None)
            if work is None:
                if call_id == self._question.call_id and ok and isinstance(value, list):
                    self._coroutines = frozenset(name for name in value if isinstance(name, str))
                continue
            work.executor = None
            was_recalled = bool(self._recalled) and call_id in self._recalled
            if was_recalled:
                self._recalled.discard(call_id)
            if not ok:
                if was_recalled and getattr(value, "type", "") == REVOKED:
                    returned.append(work)
                    continue
                value.worker = self.task.name
            settled.append((work, ok, value))
        if not settled and not returned:
            return  # no answers to the pool's calls
        if settled:  # returned calls say nothing about how long calls take
            self._keep_pace(len(settled))
        if not calls:
            self._settle_finished()
        if returned:
            self._returned(self, returned)
        self._settled(self, settled)

    def _keep_pace(self, count: int) -> None:
        now = self._now()
        sample = (now - self._since) / count
        self._since = now
        self._pace = sample + _KEPT**count * (self._pace - sample) if self._pace else sample
        ahead = _MOST if self._pace * _MOST <= _AHEAD else int(_AHEAD / self._pace)
        self._window = self.concurrency + max(1, ahead)
