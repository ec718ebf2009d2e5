"""A worker that answers calls: plain functions and coroutine functions by name."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

from aioparcs.channel import RECALLED, Answers, Call, Channel, error_map
from aioparcs.errors import EndOfChannel
from aioparcs.service.frames import own

__all__ = ["Functions"]

# Calls that are taken in; the others wait, unread, with whoever makes them.
_AT_ONCE = 1024


class Functions:
    """
    Answers the calls of one channel until the runner ends it.

    A coroutine function runs on the loop, any number at once; plain functions run in a thread beside it, one at
    a time and in order, so that the channel stays alive.

    Args:
        functions: by name; a call without a name is one of the first.
        channel: where the calls come from.
    """

    def __init__(self, functions: dict[str, Callable[..., Any]], channel: Channel) -> None:
        self._functions = {"": next(iter(functions.values())), **functions}
        self._channel = channel
        self._answers = Answers(channel)
        self._loop = asyncio.get_running_loop()
        self._queue: SimpleQueue[Call | None] = SimpleQueue()  # of plain functions' calls
        self._waiting: dict[int, Call] = {}  # those of them that nobody has taken back
        self._thread: threading.Thread | None = None
        self._running: dict[int, asyncio.Task[None]] = {}  # calls of coroutine functions
        self._unwanted: set[int] = set()  # calls that are still on their way
        self._newest = -1
        self._is_full = False
        self._room = asyncio.Event()

    async def answer(self) -> None:
        """Answer calls; returns when the runner has ended the channel."""
        self._channel.on_cancel = self._cancel
        self._channel.on_recall = self._recall
        try:
            while True:
                for call in await self._channel.recv_calls(await self._wait_for_room()):
                    self._begin(call)
        except EndOfChannel:
            return
        finally:
            self._waiting.clear()
            self._queue.put(None)
            running = list(self._running.values())
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
            self._answers.close()

    async def _wait_for_room(self) -> int:
        """Wait until calls may be taken in; returns how many."""
        while (room := _AT_ONCE - len(self._waiting) - len(self._running)) <= 0:
            self._room.clear()
            self._is_full = True
            if len(self._waiting) + len(self._running) >= _AT_ONCE:  # still: the thread may have finished some
                await self._room.wait()
            self._is_full = False
        return room

    def _begin(self, call: Call) -> None:
        self._newest = call.id
        if call.id in self._unwanted:
            self._unwanted.discard(call.id)
            return
        function = self._functions.get(call.name)
        if function is None or inspect.iscoroutinefunction(function):
            self._running[call.id] = task = asyncio.ensure_future(self._run(call, function))
            task.add_done_callback(lambda _: self._done(call.id))
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="aioparcs-functions", daemon=True)
            self._thread.start()
        self._waiting[call.id] = call
        self._queue.put(call)

    def _done(self, call_id: int) -> None:
        del self._running[call_id]
        self._room.set()

    # What the caller takes back

    def _cancel(self, call_id: int) -> None:
        if call_id in self._running:
            self._running[call_id].cancel()
        else:
            self._give_back(call_id)

    def _recall(self, call_id: int) -> None:
        if self._give_back(call_id):
            answer = error_map(asyncio.CancelledError("it has not begun")) | {"type": RECALLED}
            self._running[call_id] = task = asyncio.ensure_future(self._answers.send(call_id, False, answer))
            task.add_done_callback(lambda _: self._done(call_id))

    def _give_back(self, call_id: int) -> bool:
        """Do without a call, unless it has begun, or has been answered."""
        if self._waiting.pop(call_id, None) is not None:
            return True
        if call_id > self._newest:  # it is still on its way
            self._unwanted.add(call_id)
            return True
        return False

    # Running

    def _work(self) -> None:
        """Run plain functions, in the thread."""
        get, waiting, functions, send = self._queue.get, self._waiting, self._functions, self._answers.send_now
        while (call := get()) is not None:
            if waiting.pop(call.id, None) is None:
                continue
            send(call.id, *_attempt(functions[call.name], call))
            if self._is_full:
                self._loop.call_soon_threadsafe(self._room.set)

    async def _run(self, call: Call, function: Callable[..., Any] | None) -> None:
        await self._answers.send(call.id, *await self._result(call, function))

    async def _result(self, call: Call, function: Callable[..., Any] | None) -> tuple[bool, Any]:
        if function is None:
            names = ", ".join(filter(None, self._functions))
            return False, error_map(LookupError(f"no function {call.name!r} is served here; there are: {names}"))
        try:
            return True, await function(*call.args, **call.kwargs)
        except asyncio.CancelledError as error:
            if _is_cancelled():
                raise
            return False, error_map(own(error))  # the function's own doing, and its caller waits for an answer
        except (Exception, SystemExit) as error:
            return False, error_map(own(error))


def _attempt(function: Callable[..., Any], call: Call) -> tuple[bool, Any]:
    """Call a plain function; what it raises is a value here, for its caller."""
    try:
        return True, function(*call.args, **call.kwargs)
    except (Exception, SystemExit, asyncio.CancelledError) as error:
        return False, error_map(own(error))


def _is_cancelled() -> bool:
    """Tell whether somebody cancelled the running task."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
