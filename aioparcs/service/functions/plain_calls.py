"""The calls of plain functions, in a thread beside the loop."""

from __future__ import annotations

import asyncio
import inspect
import itertools
import os
import threading
import traceback
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from queue import SimpleQueue
from time import monotonic
from typing import Any

from aioparcs.channel import LIMITED, MEMORY, Call, ResultWriter, encode_error
from aioparcs.launcher.process.exiting import OUR_THREADS
from aioparcs.service.functions.limits import CallLimits, name_of, resident_memory
from aioparcs.service.functions.spans import ServerSpans
from aioparcs.service.functions.waiting_calls import WaitingCalls
from aioparcs.service.tracebacks import strip_internal_frames

__all__ = ["PlainCalls"]

# A function that this file alone calls: the first part of a limited call of a wrapper.
_LIMITED_START = f"{LIMITED}.start"
# Another one: it calls what its argument is.
_RUN = "aioparcs.run"


class PlainCalls:
    """
    Runs plain functions in a thread, one at a time and in order.

    Args:
        functions: by name.
        waiting: the calls that have not begun; one that is not there is not run.
        answers: sends the results.
        limits: keeps the time limits of calls.
        spans: makes the spans of those that have a trace context.

    Attributes:
        put: adds a call, which is among the waiting ones; `start` follows.
    """

    def __init__(
        self,
        functions: Mapping[str, Callable[..., Any]],
        waiting: WaitingCalls,
        answers: ResultWriter,
        limits: CallLimits,
        spans: ServerSpans,
    ) -> None:
        self._functions = functions
        self._own: dict[str, Callable[..., Any]] = {
            LIMITED: self._run_limited,
            _LIMITED_START: self._start_limited,
            MEMORY: resident_memory,
            _RUN: _run,
        }
        self._limits = limits
        self._spans = spans
        self._waiting = waiting
        self._answers = answers
        self._loop = asyncio.get_running_loop()
        self._queue: SimpleQueue[Call | None] = SimpleQueue()
        self.put = self._queue.put  # for each call: not through a method of this class
        self._thread: threading.Thread | None = None
        self._run_ids = itertools.count(-2, -1)  # no calls of a peer, nor that of `Teardown`
        self._begun: dict[int, asyncio.Future[Any]] = {}  # calls of wrapped functions: what the wrappers return

    def start(self) -> None:
        """Start the thread, if there is something for it to do."""
        if self._thread is None and not self._queue.empty():
            # No daemon: threads that functions start would be daemons too, and not waited for at the worker's end.
            self._thread = threading.Thread(target=self._work, name=f"{OUR_THREADS}functions", daemon=False)
            self._thread.start()

    def end(self) -> None:
        """End the thread after the call that it runs."""
        self._queue.put(None)

    async def call_wrapped(self, call: Call) -> Any:
        """Call a plain function that wraps a coroutine function in the thread, and await here what it returns."""
        value = await self._start_wrapped(call)
        return await value if hasattr(type(value), "__await__") else value

    async def call_wrapped_within(self, call: Call, limit: float) -> Any:
        """Call one as `call_wrapped` does, for a limited time; the process ends if the thread takes longer."""
        value, passed = await self._start_wrapped(Call(call.id, _LIMITED_START, [call, limit], {}))
        if not hasattr(type(value), "__await__"):
            return value
        return await self._limits.run(call.id, limit, value, passed)

    @property
    def is_wanted(self) -> bool:
        """True when calls wait for the thread."""
        return not self._queue.empty()

    async def run(self, function: Callable[[], Any]) -> Any:
        """Call something in the thread, when it is its turn; cancelling this stops only what has not begun."""
        return await self._start_wrapped(Call(next(self._run_ids), _RUN, [function], {}))

    async def _start_wrapped(self, call: Call) -> Any:
        begun = self._begun[call.id] = self._loop.create_future()
        self._queue.put(call)
        self.start()
        try:
            value, error = await begun
        finally:
            self._begun.pop(call.id, None)
        if error is not None:
            raise error
        return value

    # In the thread

    def _work(self) -> None:
        """Run the thread's work; if it fails the process ends: a lost worker is noticed and a silent one is not."""
        try:
            self._run()
        except BaseException:
            try:
                traceback.print_exc()
            finally:
                os._exit(1)

    def _run(self) -> None:
        get, nothing_waits, waiting = self._queue.get, self._queue.empty, self._waiting
        pop, functions, own, send = waiting.calls.pop, self._functions, self._own, self._answers.send_now
        wrap = self._spans.wrap
        while (call := get()) is not None:
            try:
                function = functions[call.name]  # nearly always; a try costs that nothing
                name = function.__name__
            except KeyError:
                function, name = own[call.name], name_of(call, functions)
            if call.context is not None:
                function = wrap(function, call.name, call.context)
            if pop(call.id, None) is not None:
                ok, value, is_awaitable = _attempt(function, call)
                if is_awaitable:
                    ok, value = self._wait_for(value)
                send(call.id, ok, value, name, last=nothing_waits())
                if waiting.is_full:
                    self._loop.call_soon_threadsafe(waiting.notify)
            else:
                if (begun := self._begun.pop(call.id, None)) is not None:
                    outcome = _begin_wrapped(function, call)
                    with suppress(RuntimeError):  # the loop is closed, and this process about to end
                        self._loop.call_soon_threadsafe(_settle, begun, *outcome)
                if nothing_waits():
                    self._answers.flush()  # what was thought to be followed by this one

    def _run_limited(self, call: Call, limit: float) -> Any:
        value, passed = self._start_limited(call, limit)
        if not hasattr(type(value), "__await__"):
            return value
        running = self._limits.run(call.id, limit, value, passed)
        return asyncio.run_coroutine_threadsafe(running, self._loop).result()

    def _start_limited(self, call: Call, limit: float) -> tuple[Any, float]:
        """Call a function; return what it returns, and how many seconds of its limit are over."""
        began = monotonic()
        function = self._functions[call.name]
        if call.context is not None:
            function = self._spans.wrap(function, call.name, call.context)
        with self._limits.watch(call.id, limit):
            value = function(*call.args, **call.kwargs)
        return value, monotonic() - began

    def _wait_for(self, awaitable: Awaitable[Any]) -> tuple[bool, Any]:
        """Run in the loop what a plain function has returned to be awaited, and wait for it in the thread."""

        async def result() -> tuple[bool, Any]:
            try:
                return True, await awaitable
            except BaseException as error:
                return False, encode_error(strip_internal_frames(error))

        return asyncio.run_coroutine_threadsafe(result(), self._loop).result()


def _run(function: Callable[[], Any]) -> Any:
    return function()


def _attempt(function: Callable[..., Any], call: Call) -> tuple[bool, Any, bool]:
    """Call a plain function; return what it raises as a value, for its caller; and whether the value is awaitable."""
    try:
        value = function(*call.args, **call.kwargs)
        return True, value, hasattr(type(value), "__await__")
    except BaseException as error:
        return False, encode_error(strip_internal_frames(error)), False


def _begin_wrapped(function: Callable[..., Any], call: Call) -> tuple[Any, BaseException | None]:
    """Call a wrapper; return what it returns, or raises."""
    try:
        return function(*call.args, **call.kwargs), None
    except BaseException as error:
        return None, error


def _settle(begun: asyncio.Future[Any], value: Any, error: BaseException | None) -> None:
    if not begun.done():
        begun.set_result((value, error))
    elif inspect.iscoroutine(value):  # its call was cancelled meanwhile
        value.close()
