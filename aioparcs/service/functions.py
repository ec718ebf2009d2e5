"""A worker that answers calls: plain functions and coroutine functions by name."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from aioparcs.channel import Call, Channel, error_map
from aioparcs.errors import EncodeError, EndOfChannel, ParcsError
from aioparcs.service.frames import own

__all__ = ["Functions"]

# Calls that are answered at once; the others wait, unread, with whoever makes them.
_AT_ONCE = 1024


class Functions:
    """
    Answers the calls of one channel until the runner ends it.

    A coroutine function runs on the loop, any number at once; plain functions run in a thread beside it, one at
    a time and in order, so that the channel stays alive.

    Args:
        functions: by name.
    """

    def __init__(self, functions: dict[str, Callable[..., Any]]) -> None:
        self._functions = functions
        self._thread = ThreadPoolExecutor(1)
        self._answers: dict[int, asyncio.Task[None]] = {}
        self._cancelled: set[int] = set()
        self._newest = -1
        self._free = asyncio.Semaphore(_AT_ONCE)

    async def answer(self, channel: Channel) -> None:
        """Answer calls; returns when the runner has ended the channel."""
        channel.on_cancel = self._cancel
        try:
            while True:
                await self._free.acquire()
                self._begin(channel, await channel.recv_call())
        except EndOfChannel:
            return
        finally:
            self._thread.shutdown(wait=False, cancel_futures=True)
            answers = list(self._answers.values())
            for answer in answers:
                answer.cancel()
            await asyncio.gather(*answers, return_exceptions=True)

    def _begin(self, channel: Channel, call: Call) -> None:
        self._newest = call.id
        if call.id in self._cancelled:
            self._cancelled.discard(call.id)
            self._free.release()
            return
        self._answers[call.id] = task = asyncio.ensure_future(self._answer(channel, call))
        task.add_done_callback(lambda _: self._done(call.id))

    def _done(self, call_id: int) -> None:
        del self._answers[call_id]
        self._free.release()

    def _cancel(self, call_id: int) -> None:
        if call_id in self._answers:
            self._answers[call_id].cancel()
        elif call_id > self._newest:  # it is still on its way; an older one has been answered
            self._cancelled.add(call_id)

    async def _answer(self, channel: Channel, call: Call) -> None:
        ok, value = await self._run(call)
        try:
            try:
                await channel.send_result(call.id, ok, value)
            except EncodeError as error:
                await channel.send_result(call.id, False, error_map(error))
        except ParcsError:
            pass  # the runner is gone, and nobody waits for this any more

    async def _run(self, call: Call) -> tuple[bool, Any]:
        function = self._functions.get(call.name)
        if function is None:
            names = ", ".join(self._functions)
            return False, error_map(LookupError(f"no function {call.name!r} is served here; there are: {names}"))
        if not inspect.iscoroutinefunction(function):
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._thread, _attempt, function, call)
        try:
            return True, await function(*call.args, **call.kwargs)
        except asyncio.CancelledError as error:
            if _is_cancelled():
                raise
            return False, error_map(own(error))  # the function's own doing, and its caller waits for an answer
        except (Exception, SystemExit) as error:
            return False, error_map(own(error))


def _attempt(function: Callable[..., Any], call: Call) -> tuple[bool, Any]:
    """Call a plain function; what it raises is a value here, since a future can't carry a StopIteration."""
    try:
        return True, function(*call.args, **call.kwargs)
    except (Exception, SystemExit, asyncio.CancelledError) as error:
        return False, error_map(own(error))


def _is_cancelled() -> bool:
    """Tell whether somebody cancelled the running task."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
