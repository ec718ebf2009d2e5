"""The calls of plain functions, in a thread beside the loop."""

from __future__ import annotations

import asyncio
import inspect
import os
import threading
import traceback
from collections.abc import Awaitable, Callable, Mapping
from queue import SimpleQueue
from typing import Any

from aioparcs.channel import Call, ResultWriter, encode_error
from aioparcs.launcher.process.exiting import OUR_THREADS
from aioparcs.service.functions.waiting_calls import WaitingCalls
from aioparcs.service.tracebacks import strip_internal_frames

__all__ = ["PlainCalls"]


class PlainCalls:
    """
    Runs plain functions in a thread, one at a time and in order.

    Args:
        functions: by name.
        waiting: the calls that have not begun; one that is not there is not run.
        answers: sends the results.

    Attributes:
        put: adds a call, which is among the waiting ones; `start` follows.
    """

    def __init__(
        self, functions: Mapping[str, Callable[..., Any]], waiting: WaitingCalls, answers: ResultWriter
    ) -> None:
        self._functions = functions
        self._waiting = waiting
        self._answers = answers
        self._loop = asyncio.get_running_loop()
        self._queue: SimpleQueue[Call | None] = SimpleQueue()
        self.put = self._queue.put  # for each call: not through a method of this class
        self._thread: threading.Thread | None = None
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
        begun = self._begun[call.id] = self._loop.create_future()
        self._queue.put(call)
        self.start()
        try:
            value, error = await begun
        finally:
            self._begun.pop(call.id, None)
        if error is not None:
            raise error
        return await value if hasattr(type(value), "__await__") else value

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
        pop, functions, send = waiting.calls.pop, self._functions, self._answers.send_now
        while (call := get()) is not None:
            if pop(call.id, None) is not None:
                function = functions[call.name]
                ok, value, is_awaitable = _attempt(function, call)
                if is_awaitable:
                    ok, value = self._wait_for(value)
                send(call.id, ok, value, function.__name__, last=nothing_waits())
                if waiting.is_full:
                    self._loop.call_soon_threadsafe(waiting.notify)
            else:
                if (begun := self._begun.pop(call.id, None)) is not None:
                    self._loop.call_soon_threadsafe(_settle, begun, *_begin_wrapped(functions[call.name], call))
                if nothing_waits():
                    self._answers.flush()  # what was thought to be followed by this one

    def _wait_for(self, awaitable: Awaitable[Any]) -> tuple[bool, Any]:
        """Run in the loop what a plain function has returned to be awaited, and wait for it in the thread."""

        async def result() -> tuple[bool, Any]:
            try:
                return True, await awaitable
            except BaseException as error:
                return False, encode_error(strip_internal_frames(error))

        return asyncio.run_coroutine_threadsafe(result(), self._loop).result()


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
