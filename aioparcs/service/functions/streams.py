"""The streams of a worker: generators whose items are sent one by one, as many ahead as their caller has room for."""

from __future__ import annotations

import asyncio
import inspect
import traceback
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from contextvars import Context, copy_context
from functools import partial
from time import monotonic
from typing import Any, NamedTuple

from aioparcs import deadlines
from aioparcs.channel import STREAM, Call, ResultWriter, encode_error
from aioparcs.errors import add_note
from aioparcs.service.functions.limits import CallLimits
from aioparcs.service.functions.plain_calls import PlainCalls
from aioparcs.service.functions.replies import Replies
from aioparcs.service.functions.served import ServedFunctions
from aioparcs.service.functions.spans import ServerSpans
from aioparcs.service.tracebacks import strip_internal_frames

__all__ = ["StreamCalls"]

# Seconds after which a plain generator lets the calls go on that wait for the thread.
_TURN = 0.005
_END = object()


class _Request(NamedTuple):
    """What a caller wants: the items of a function, no more ahead than so many, and bytes of them."""

    call_id: int
    limit: float | None
    name: str
    args: list[Any]
    kwargs: dict[str, Any]
    items: int
    bytes: int
    context: Any

    @classmethod
    def read(cls, call: Call) -> _Request:
        """Return what a call of `STREAM` asks for; raise a TypeError or a ValueError for anything else."""
        limit, name, args, kwargs, items, size = call.args
        if type(args) is not list or type(kwargs) is not dict or not items > 0 or not size > 0:
            raise ValueError
        if limit is not None and not float(limit) > 0:
            raise ValueError
        return cls(call.id, limit, name, args, kwargs, items, size, call.context)


class _Credit:
    """
    The room that a caller has: the thread or the loop adds items before they are sent, the loop those that were taken.

    Args:
        items: how many may be on their way, or there and not taken.
        bytes: how many bytes of them, after which none is sent until some are taken.
    """

    def __init__(self, items: int, bytes: int) -> None:
        self._items = items
        self._bytes = bytes
        self._sizes: deque[int] = deque()  # of those that were not taken
        self._sent = self._taken = 0  # bytes: each is changed by one thread only
        self._first = 0  # the number of items that were taken
        self._room = asyncio.Event()

    @property
    def has_room(self) -> bool:
        """True when another item may be sent."""
        return len(self._sizes) < self._items and self._sent - self._taken < self._bytes

    def add(self, size: int) -> None:
        """Note that an item is about to be sent."""
        self._sizes.append(size)
        self._sent += size

    def take(self, count: int) -> None:
        """Note how many items were taken in all."""
        while self._first < count and self._sizes:
            self._first += 1
            self._taken += self._sizes.popleft()
        self._room.set()

    async def wait(self) -> None:
        """Wait until there is room."""
        while not self.has_room:
            self._room.clear()
            await self._room.wait()


class _Stream:
    """One stream: the generator, from its start to its end."""

    def __init__(
        self, request: _Request, plain: PlainCalls, answers: ResultWriter, limits: CallLimits, spans: ServerSpans
    ) -> None:
        self.credit = _Credit(request.items, request.bytes)
        self.is_cancelled = False
        self._request = request
        self._plain = plain
        self._answers = answers
        self._limits = limits
        self._spans = spans
        self._name = ""
        self._context: Context | None = None  # what runs in the thread runs in

    async def run(self, function: Callable[..., Any]) -> None:
        """Call the function, and send the items of what it returns; all of that in the call's span, if it has one."""
        request = self._request
        span = None if request.context is None else self._spans.begin(request.name, request.context)
        if span is None:
            await self._run(function)
            return
        try:
            with span.current():
                self._context = copy_context()
                await self._run(function)
        except BaseException as error:
            # Its caller needs no more items: that is no failure.
            is_wanted = self.is_cancelled and isinstance(error, asyncio.CancelledError)
            span.end(None if is_wanted else strip_internal_frames(error))
            raise
        span.end()

    async def _run(self, function: Callable[..., Any]) -> None:
        self._name = function.__name__
        call = partial(function, *self._request.args, **self._request.kwargs)
        if inspect.isasyncgenfunction(function):
            value = call()
        elif inspect.iscoroutinefunction(function):
            value = await self._within_limit(call())
        else:
            value = await self._in_thread(call)
            if hasattr(type(value), "__await__"):
                value = await self._within_limit(value)
        if hasattr(type(value), "__aiter__"):
            await self._send_from_loop(aiter(value))
        elif hasattr(type(value), "__iter__"):
            await self._send_from_thread(await self._in_thread(partial(iter, value)))
        else:
            raise TypeError(f"{self._name} returned {type(value).__name__}: a stream is of what a generator yields")

    async def _send_from_loop(self, iterator: Any) -> None:
        failure: BaseException
        try:
            while True:
                await self.credit.wait()
                try:
                    item = await self._within_limit(anext(iterator))
                except StopAsyncIteration:
                    return
                self._check_cancelled()
                await self._answers.send_item_soon(self._request.call_id, item, self._name, self.credit.add)
        except BaseException as error:
            failure = error
        if (aclose := getattr(iterator, "aclose", None)) is not None:
            await self._close(self._within_limit(aclose()))
        raise failure

    async def _send_from_thread(self, iterator: Any) -> None:
        failure: BaseException
        try:
            while not await self._plain.run(self._bound(partial(self._advance, iterator))):
                self._check_cancelled()
                await self.credit.wait()
            return
        except BaseException as error:
            failure = error  # closed below, so that what that raises has no context of ours
        if (close := getattr(iterator, "close", None)) is not None:
            await self._close(self._in_thread(close))
        raise failure

    def _advance(self, iterator: Any) -> bool:
        """Send items while there is room, for a while if other calls wait; return True at their end. In the thread."""
        until = monotonic() + _TURN
        while self.credit.has_room and not self.is_cancelled:
            with self._watch():
                item = next(iterator, _END)
            if item is _END or self.is_cancelled:
                return item is _END
            self._answers.send_item(self._request.call_id, item, self._name, self.credit.add)
            if self._plain.is_wanted and monotonic() > until:
                break
        return False

    async def _close(self, closing: Awaitable[Any]) -> None:
        """Run the ``finally`` blocks of a generator that ends early; no caller waits for what they raise."""
        try:
            await closing
        except (asyncio.CancelledError, GeneratorExit):
            raise
        except BaseException as error:
            add_note(error, f"while {self._name} was closed, before its end; nothing else has failed")
            traceback.print_exception(strip_internal_frames(error))

    def _check_cancelled(self) -> None:
        if self.is_cancelled:  # and the generator has gone on
            raise asyncio.CancelledError

    def _watch(self) -> Any:
        limit = self._request.limit
        return nullcontext() if limit is None else self._limits.watch(self._request.call_id, limit)

    def _within_limit(self, awaitable: Awaitable[Any]) -> Awaitable[Any]:
        limit = self._request.limit
        return awaitable if limit is None else self._limits.run(self._request.call_id, limit, awaitable)

    async def _in_thread(self, call: Callable[[], Any]) -> Any:
        def run() -> Any:
            with self._watch():
                return call()

        return await self._plain.run(self._bound(run))

    def _bound(self, call: Callable[[], Any]) -> Callable[[], Any]:
        """Return a call for the thread, in which the stream's span is the present one."""
        return call if self._context is None else partial(self._context.run, call)


class StreamCalls:
    """
    Runs generators for their callers, all of them at once: one that waits for its caller keeps no other from running.

    An async generator runs in the loop, any other in the thread of the plain functions, which takes turns between the
    items of generators and calls.

    Args:
        served: the functions that are served.
        plain: the thread.
        answers: sends items and ends.
        replies: sends answers to calls that were not run.
        limits: keeps the time limits of items.
        spans: makes the spans of those that have a trace context.

    Attributes:
        is_ending: to be set to True when generators that are cancelled are not to be answered for.
    """

    def __init__(
        self,
        served: ServedFunctions,
        plain: PlainCalls,
        answers: ResultWriter,
        replies: Replies,
        limits: CallLimits,
        spans: ServerSpans,
    ) -> None:
        self._served = served
        self._plain = plain
        self._answers = answers
        self._replies = replies
        self._limits = limits
        self._spans = spans
        self._running: dict[int, tuple[_Stream, asyncio.Task[None]]] = {}
        self._is_over = False
        self.is_ending = False

    def begin(self, call: Call) -> None:
        """Begin a stream; a call without arguments asks for support."""
        if not call.args:
            self._replies.send(call.id, True, None)
            return
        try:
            request = _Request.read(call)
            self._served.look_up(request.name)
        except LookupError as error:
            self._replies.send(call.id, False, encode_error(strip_internal_frames(error)))
            return
        except (TypeError, ValueError):
            form = "a number of seconds or nil, a function's name, a list, a map, and two numbers"
            self._replies.send(call.id, False, encode_error(TypeError(f"{STREAM} takes {form}")))
            return
        stream = _Stream(request, self._plain, self._answers, self._limits, self._spans)
        task = asyncio.ensure_future(self._run(call.id, stream, self._served.streamed(request.name)))
        self._running[call.id] = stream, task
        task.add_done_callback(partial(self._done, call.id))

    def credit(self, call_id: int, taken: int) -> None:
        """Note how many items of a stream its caller has taken."""
        if call_id in self._running:
            self._running[call_id][0].credit.take(taken)

    def cancel(self, call_id: int) -> bool:
        """End a generator, unless that is over; return False if it doesn't run."""
        if call_id not in self._running:
            return False
        stream, task = self._running[call_id]
        if not stream.is_cancelled:
            stream.is_cancelled = True
            task.cancel()
        return True

    async def cancel_all(self) -> None:
        """End all generators, and wait for their ends, but no longer than cleaning up may take."""
        tasks = [] if self._is_over else [task for _, task in self._running.values()]
        self._is_over = True
        for call_id in list(self._running):
            self.cancel(call_id)
        if tasks:
            await asyncio.wait(tasks, timeout=deadlines.CALL_CLEANUP)

    async def _run(self, call_id: int, stream: _Stream, function: Callable[..., Any]) -> None:
        ok, value = True, None
        try:
            await stream.run(function)
        except GeneratorExit:
            raise  # this coroutine may be the one that is closed
        except BaseException as error:  # cancelled by its caller, or by itself, too
            if self.is_ending and isinstance(error, asyncio.CancelledError):
                raise
            ok, value = False, encode_error(strip_internal_frames(error))
        stream.is_cancelled = True  # it can no longer be: its end is on its way
        await self._answers.send(call_id, ok, value)

    def _done(self, call_id: int, task: asyncio.Task[None]) -> None:
        del self._running[call_id]
        error = asyncio.CancelledError("it has not begun") if task.cancelled() else task.exception()
        if error is not None and not (
            self.is_ending and task.cancelled()
        ):  # it was cancelled before its first step, or raised what ends coroutines
            self._replies.send(call_id, False, encode_error(strip_internal_frames(error)))
