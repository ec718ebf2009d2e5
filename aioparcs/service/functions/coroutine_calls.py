"""The calls of coroutine functions, as tasks of the loop."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Mapping
from functools import partial
from typing import Any

from aioparcs.channel import LIMITED, Call, ResultWriter, encode_error
from aioparcs.service.functions.limits import CallLimits, name_of
from aioparcs.service.functions.plain_calls import PlainCalls
from aioparcs.service.functions.replies import Replies
from aioparcs.service.functions.spans import ServerSpans
from aioparcs.service.functions.waiting_calls import AT_ONCE, WaitingCalls
from aioparcs.service.tracebacks import strip_internal_frames

__all__ = ["CoroutineCalls"]


class CoroutineCalls:
    """
    Runs coroutine functions, as many calls at once as the concurrency says.

    Args:
        functions: by name.
        wrapped: the names of the plain functions among them that wrap coroutine functions.
        plain: runs the wrappers in its thread.
        waiting: the calls that have not begun; one that is not there is not run.
        answers: sends the results.
        replies: sends answers to calls that were not run.
        limits: keeps the time limits of calls.
        spans: makes the spans of those that have a trace context.

    Attributes:
        running: the calls that run, by id.
        is_ending: to be set to True when calls that are cancelled are not to be answered.
    """

    def __init__(
        self,
        functions: Mapping[str, Callable[..., Any]],
        wrapped: Collection[str],
        plain: PlainCalls,
        waiting: WaitingCalls,
        answers: ResultWriter,
        replies: Replies,
        limits: CallLimits,
        spans: ServerSpans,
    ) -> None:
        self.running: dict[int, asyncio.Task[None]] = {}
        self.is_ending = False
        self._functions = functions
        self._wrapped = wrapped
        self._plain = plain
        self._waiting = waiting
        self._answers = answers
        self._replies = replies
        self._limits = limits
        self._spans = spans
        self._line: deque[Call] = deque()  # calls that may not run yet
        self._concurrency = AT_ONCE
        self._answering: set[int] = set()  # those that are done, but for the sending of their results

    def put(self, call: Call) -> None:
        """Add a call, which is among the waiting ones; `advance` follows."""
        self._line.append(call)

    def limit(self, concurrency: int) -> None:
        """Set how many calls run at once."""
        self._concurrency = max(1, min(concurrency, AT_ONCE))

    def advance(self) -> None:
        """Start calls, as many as may run at once."""
        while self._line and len(self.running) < self._concurrency:
            call = self._line.popleft()
            if self._waiting.calls.pop(call.id, None) is not None:
                self.running[call.id] = task = asyncio.ensure_future(self._run(call))
                task.add_done_callback(partial(self._done, call.id))

    def cancel(self, call_id: int) -> bool:
        """Cancel a call, unless its result is on its way; return False if it doesn't run."""
        if call_id not in self.running:
            return False
        if call_id not in self._answering:
            self.running[call_id].cancel()
        return True

    async def cancel_all(self) -> None:
        """Cancel all calls, and wait for their ends."""
        tasks = list(self.running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _done(self, call_id: int, task: asyncio.Task[None]) -> None:
        del self.running[call_id]
        error = asyncio.CancelledError("it has not begun") if task.cancelled() else task.exception()
        if call_id in self._answering:
            self._answering.discard(call_id)
            error = None if task.cancelled() else error  # its result may be on its way
        elif error is None:
            error = AssertionError("it ended without an answer")
        if error is not None and not (
            self.is_ending and task.cancelled()
        ):  # it was cancelled before its first step, or raised what ends coroutines
            self._replies.send(call_id, False, encode_error(strip_internal_frames(error)))
        self._waiting.notify()
        self.advance()

    async def _run_limited(self, call: Call, limit: float) -> Any:
        if call.name in self._wrapped:
            return await self._plain.call_wrapped_within(call, limit)
        return await self._limits.run(call.id, limit, self._start(call))

    def _start(self, call: Call) -> Awaitable[Any]:
        function = self._functions[call.name]
        if call.context is not None:
            function = self._spans.wrap(function, call.name, call.context)
        return function(*call.args, **call.kwargs)  # type: ignore[no-any-return]  # it is a coroutine function

    async def _run(self, call: Call) -> None:
        ok, value = True, None
        try:
            if call.name in self._wrapped:
                value = await self._plain.call_wrapped(call)
            elif call.name == LIMITED:
                value = await self._run_limited(*call.args)
            else:
                value = await self._start(call)
        except GeneratorExit:
            raise  # this coroutine may be the one that is closed
        except BaseException as error:  # cancelled by its caller, or by itself, too
            if self.is_ending and isinstance(error, asyncio.CancelledError):
                raise
            ok, value = False, encode_error(strip_internal_frames(error))
        self._answering.add(call.id)
        await self._answers.send(call.id, ok, value, name_of(call, self._functions))
