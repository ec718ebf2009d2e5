"""The worker that answers calls: plain functions and coroutine functions by name."""

from __future__ import annotations

import asyncio
import inspect
import os
import threading
import traceback
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from queue import SimpleQueue
from typing import Any

from aioparcs import codec
from aioparcs.channel import CONCURRENCY, NO_FUNCTION, REVOKED, Call, Channel, ResultLog, ResultWriter, encode_error
from aioparcs.errors import EndOfChannel
from aioparcs.launcher.process.exiting import OUR_THREADS
from aioparcs.service.tracebacks import strip_internal_frames
from aioparcs.wire import FrameType

__all__ = ["Functions"]

# Calls that are taken in; the others wait, unread, at the caller's side.
_AT_ONCE = 1024
# Seconds after which results leave at the latest, whatever runs.
_FLUSH = 0.002


class Functions:
    """
    Answers the calls of one channel until the runner ends it.

    A coroutine function runs on the loop, any number at once; plain functions run in a thread beside it, one at
    a time and in order, so that the channel stays alive. If one returns an awaitable, the loop awaits it and the
    thread waits for that. A plain function that wraps a coroutine function (``functools.wraps``) is called in the
    thread, but counts as a coroutine function: the thread does not wait for what it returns.

    Args:
        functions: by name; a call without a name is one of the first.
        channel: where the calls come from.
        result_log: see `ResultWriter`.
    """

    def __init__(
        self, functions: dict[str, Callable[..., Any]], channel: Channel, result_log: ResultLog | None
    ) -> None:
        self._functions = {"": next(iter(functions.values())), **functions}
        self._wrapped = {name for name, function in self._functions.items() if _wraps_coroutine(function)}
        self._plain = {
            name for name, function in self._functions.items() if not inspect.iscoroutinefunction(function)
        } - self._wrapped
        self._server = channel.call_server
        self._answers = ResultWriter(self._server, result_log)
        self._loop = asyncio.get_running_loop()
        self._queue: SimpleQueue[Call | None] = SimpleQueue()  # of plain functions' calls
        self._waiting: dict[int, Call] = {}  # those of them that were not revoked
        self._thread: threading.Thread | None = None
        self._begun: dict[int, asyncio.Future[Any]] = {}  # calls of wrapped ones, for the thread: what they return
        self._running: dict[int, asyncio.Task[None]] = {}  # calls of coroutine functions
        self._line: deque[Call] = deque()  # calls of coroutine functions that may not run yet
        self._concurrency = _AT_ONCE
        self._answering: set[int] = set()  # those of them that are done, but for the sending of their results
        # Answers to calls that were not run, which are rare. Neither these tasks nor those above are in a task group: a
        # function that raises SystemExit would end all others with it, and a group costs each call.
        self._replies: set[asyncio.Task[None]] = set()
        self._unwanted: set[int] = set()  # calls that are still on their way
        self._newest = -1
        self._has_returned = False  # calls, since others were begun
        self._is_full = False
        self._room = asyncio.Event()
        self._flushing: asyncio.TimerHandle | None = None

    async def answer(self) -> None:
        """Run the calls and send their results; returns when the runner has ended the channel."""
        self._server.on_cancel = self._cancel
        self._server.on_revoke = self._revoke
        try:
            while True:
                self._begin(await self._server.recv_calls(await self._wait_for_room()))
                # The thread may have begun the last of these calls, and keep the results of those before it.
                if self._flushing is None and (self._waiting or self._answers.are_waiting):
                    self._flush_soon()
        except EndOfChannel:
            return
        finally:
            self._waiting.clear()
            self._queue.put(None)
            if self._flushing:
                self._flushing.cancel()
            running = [*self._running.values(), *self._replies]
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

    def _begin(self, calls: list[Call]) -> None:
        plain, waiting, put = self._plain, self._waiting, self._queue.put
        self._newest = calls[-1].id
        if self._has_returned:
            self._has_returned = False
            self._server.connection.outbox.flush()
        for call in calls:
            if self._unwanted and call.id in self._unwanted:
                self._unwanted.discard(call.id)
            elif call.name in plain:
                waiting[call.id] = call
                put(call)
            elif call.name in self._functions:
                waiting[call.id] = call
                self._line.append(call)
            else:
                self._refuse(call)
        self._advance()
        if self._thread is None and not self._queue.empty():
            self._start_thread()

    def _advance(self) -> None:
        """Start coroutine functions, as many as may run at once."""
        while self._line and len(self._running) < self._concurrency:
            call = self._line.popleft()
            if self._waiting.pop(call.id, None) is not None:
                self._running[call.id] = task = asyncio.ensure_future(self._run(call))
                task.add_done_callback(partial(self._done, call.id))

    def _done(self, call_id: int, task: asyncio.Task[None]) -> None:
        del self._running[call_id]
        if call_id in self._answering:
            self._answering.discard(call_id)
        else:  # it was cancelled before its first step, or raised what ends coroutines
            error = asyncio.CancelledError("it has not begun") if task.cancelled() else task.exception()
            self._reply(
                call_id,
                False,
                encode_error(strip_internal_frames(error or AssertionError("it ended without an answer"))),
            )
        self._room.set()
        self._advance()

    def _refuse(self, call: Call) -> None:
        if call.name != CONCURRENCY or not call.args or not isinstance(call.args[0], int):
            self._reply(call.id, False, self._no_function(call.name))
            return
        self._concurrency = max(1, min(call.args[0], _AT_ONCE))
        wanted = call.args[1] if len(call.args) > 1 else ""  # the function that a pool is for
        if wanted in list(self._functions):  # a list, since a peer may send what has no hash
            self._reply(call.id, True, [name for name in self._functions if name not in self._plain])
        else:
            self._reply(call.id, False, self._no_function(wanted) | {"type": NO_FUNCTION})

    def _no_function(self, name: Any) -> dict[str, Any]:
        names = ", ".join(filter(None, self._functions))
        return encode_error(LookupError(f"no function {name!r} is served here; there are: {names}"))

    def _reply(self, call_id: int, ok: bool, value: Any) -> None:
        task = asyncio.ensure_future(self._answers.send(call_id, ok, value))
        self._replies.add(task)
        task.add_done_callback(self._replies.discard)

    # What the caller takes back

    def _cancel(self, call_id: int) -> None:
        if call_id in self._running:
            if call_id not in self._answering:
                self._running[call_id].cancel()
        else:
            self._revoke(call_id)

    def _revoke(self, call_id: int) -> None:
        """Remove a call, and answer that it is revoked, unless it has begun, or has been answered."""
        if self._waiting.pop(call_id, None) is None:
            if call_id <= self._newest:
                return
            self._unwanted.add(call_id)  # it is still on its way
        self._room.set()
        # At once: when this process dies of a later call, its caller must know that this one had not begun.
        error = encode_error(asyncio.CancelledError("it has not begun")) | {"type": REVOKED}
        self._server.connection.post_frame(FrameType.RESULT, codec.encode_result(call_id, False, error)[0])
        self._has_returned = True

    # Running

    def _start_thread(self) -> None:
        # No daemon: threads that functions start would be daemons too, and not waited for at the worker's end.
        self._thread = threading.Thread(target=self._work, name=f"{OUR_THREADS}functions", daemon=False)
        self._thread.start()

    def _work(self) -> None:
        """Run the thread's work; if it fails the process ends: a lost worker is noticed and a silent one is not."""
        try:
            self._run_plain()
        except BaseException:
            traceback.print_exc()
            os._exit(1)

    def _run_plain(self) -> None:
        get, nothing_waits, waiting = self._queue.get, self._queue.empty, self._waiting
        functions, send = self._functions, self._answers.send_now
        while (call := get()) is not None:
            if waiting.pop(call.id, None) is not None:
                ok, value = _attempt(functions[call.name], call)
                if ok and hasattr(type(value), "__await__"):
                    ok, value = self._wait_for(value)
                send(call.id, ok, value, last=nothing_waits())
                if self._is_full:
                    self._loop.call_soon_threadsafe(self._room.set)
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

    def _flush_soon(self) -> None:
        """Flush, and again soon while calls wait, so that no result waits for long behind a slow call."""
        self._answers.flush()
        is_needed = self._waiting or self._answers.are_waiting
        self._flushing = self._loop.call_later(_FLUSH, self._flush_soon) if is_needed else None

    async def _call_wrapped(self, call: Call) -> Any:
        """Call a wrapper in the thread, and await here what it returns."""
        begun = self._begun[call.id] = self._loop.create_future()
        self._queue.put(call)
        if self._thread is None:
            self._start_thread()
        try:
            value, error = await begun
        finally:
            self._begun.pop(call.id, None)
        if error is not None:
            raise error
        return await value if hasattr(type(value), "__await__") else value

    async def _run(self, call: Call) -> None:
        ok, value = True, None
        try:
            if call.name in self._wrapped:
                value = await self._call_wrapped(call)
            else:
                value = await self._functions[call.name](*call.args, **call.kwargs)
        except GeneratorExit:
            raise  # this coroutine may be the one that is closed
        except BaseException as error:  # cancelled by its caller, or by itself, too
            ok, value = False, encode_error(strip_internal_frames(error))
        self._answering.add(call.id)
        await self._answers.send(call.id, ok, value)


def _attempt(function: Callable[..., Any], call: Call) -> tuple[bool, Any]:
    """Call a plain function; return what it raises as a value, for its caller."""
    try:
        return True, function(*call.args, **call.kwargs)
    except BaseException as error:
        return False, encode_error(strip_internal_frames(error))


def _wraps_coroutine(function: Callable[..., Any]) -> bool:
    """Return True for a plain function that wraps a coroutine function, as those of most decorators do."""
    return not inspect.iscoroutinefunction(function) and inspect.iscoroutinefunction(inspect.unwrap(function))


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
