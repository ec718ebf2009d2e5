"""The worker that answers calls: plain functions and coroutine functions by name."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from aioparcs.channel import (
    CONCURRENCY,
    LIMITED,
    MEMORY,
    NO_FUNCTION,
    STREAM,
    TRACING,
    VERSION,
    Call,
    Channel,
    ResultLog,
    ResultWriter,
    encode_error,
)
from aioparcs.errors import EndOfChannel
from aioparcs.service.functions.coroutine_calls import CoroutineCalls
from aioparcs.service.functions.limits import CallLimits, read_limited
from aioparcs.service.functions.plain_calls import PlainCalls
from aioparcs.service.functions.replies import Replies
from aioparcs.service.functions.revocations import Revocations
from aioparcs.service.functions.served import Find, ServedFunctions
from aioparcs.service.functions.spans import ServerSpans
from aioparcs.service.functions.streams import StreamCalls
from aioparcs.service.functions.teardown import Teardown
from aioparcs.service.functions.versions import describe_function
from aioparcs.service.functions.waiting_calls import WaitingCalls
from aioparcs.service.random_streams import set_rank
from aioparcs.service.tracebacks import strip_internal_frames

__all__ = ["Functions"]

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
        limits: keeps the time limits of calls.
        spans: makes the spans of calls.
        find: see `ServedFunctions`.
    """

    def __init__(
        self,
        functions: dict[str, Callable[..., Any]],
        channel: Channel,
        result_log: ResultLog | None,
        limits: CallLimits,
        spans: ServerSpans,
        find: Find | None = None,
    ) -> None:
        self._functions = served = ServedFunctions(functions, find)
        self._teardown = Teardown(served)
        self._server = channel.call_server
        self._answers = ResultWriter(self._server, result_log)
        self._replies = Replies(self._answers)
        self._waiting = WaitingCalls()
        self._spans = spans
        self._plain_calls = PlainCalls(served.by_name, self._waiting, self._answers, limits, spans)
        parts = self._plain_calls, self._waiting, self._answers, self._replies, limits, spans
        self._coroutine_calls = CoroutineCalls(served.by_name, served.wrapped, *parts)
        self._streams = StreamCalls(served, self._plain_calls, self._answers, self._replies, limits, spans)
        self._server.on_credit = self._streams.credit
        self._revocations = Revocations(
            self._server, self._waiting, self._coroutine_calls, self._streams, self._answers
        )
        self._loop = asyncio.get_running_loop()
        self._flushing: asyncio.TimerHandle | None = None

    async def answer(self) -> None:
        """Run the calls and send their results, until the runner has ended the channel; then call ``teardown``."""
        running = self._coroutine_calls.running
        try:
            while True:
                self._begin(await self._server.recv_calls(await self._waiting.wait_for_room(running)))
                # The thread may have begun the last of these calls, and keep the results of those before it.
                if self._flushing is None and (self._waiting.calls or self._answers.are_waiting):
                    self._flush_soon()
        except asyncio.CancelledError:
            # This process is about to end, as by SIGTERM: callers learn that, and not that their calls were cancelled.
            self._coroutine_calls.is_ending = self._streams.is_ending = True
            raise
        except EndOfChannel:
            self._answers.forget()
            self._waiting.calls.clear()
            await self._streams.cancel_all()
            await self._coroutine_calls.cancel_all()
            await self._teardown.run(self._plain_calls)
        finally:
            self._waiting.calls.clear()
            await self._streams.cancel_all()
            self._plain_calls.end()
            if self._flushing:
                self._flushing.cancel()
            await self._coroutine_calls.cancel_all()
            await self._replies.cancel()
            self._answers.close()
            self._spans.close()

    def _begin(self, calls: list[Call]) -> None:
        plain, waiting, put = self._functions.plain, self._waiting.calls, self._plain_calls.put
        unwanted = self._revocations.unwanted
        self._revocations.note_arrival(calls[-1].id)
        if self._spans.are_wanted:  # a call without a trace context is the root of a trace
            calls = [call if call.context is not None else call._replace(context={}) for call in calls]
        for call in calls:
            if unwanted and call.id in unwanted:
                unwanted.discard(call.id)
            elif call.name in plain:
                waiting[call.id] = call
                put(call)
            elif call.name in self._functions.by_name:
                waiting[call.id] = call
                self._coroutine_calls.put(call)
            else:
                self._begin_unknown(call)
        self._coroutine_calls.advance()
        self._plain_calls.start()

    def _begin_unknown(self, call: Call) -> None:
        """Begin a call of a function that every worker serves, or of one that is not served yet."""
        if call.name == LIMITED:
            self._begin_limited(call)
        elif call.name == STREAM:
            self._streams.begin(call)
        elif call.name == MEMORY:
            self._waiting.calls[call.id] = call
            self._plain_calls.put(call._replace(context=None))
        elif call.name == TRACING:
            self._replies.send(call.id, True, self._spans.are_wanted)
        elif call.name == CONCURRENCY and call.args and isinstance(call.args[0], int):
            self._configure(call)
        elif call.name == VERSION and call.args:
            self._send_version(call)
        else:
            self._queue(call, call.name)

    def _begin_limited(self, call: Call) -> None:
        """Queue a call of a function that may run for a limited time; a call without arguments asks for support."""
        if not call.args:
            self._replies.send(call.id, True, None)
            return
        try:
            limited, limit = read_limited(call)
        except (TypeError, ValueError):
            error = TypeError(f"{LIMITED} takes a number of seconds, a function's name, a list and a map")
            self._replies.send(call.id, False, encode_error(error))
            return
        self._queue(Call(call.id, LIMITED, [limited, limit], {}), limited.name)

    def _queue(self, call: Call, name: Any) -> None:
        """Queue a call that runs a function of this name, or refuse it if there is none."""
        try:
            self._functions.look_up(name)
        except LookupError as error:
            self._replies.send(call.id, False, encode_error(strip_internal_frames(error)))
            return
        self._waiting.calls[call.id] = call
        calls = self._plain_calls if name in self._functions.plain else self._coroutine_calls
        calls.put(call)

    def _configure(self, call: Call) -> None:
        """Set how many calls run at once, and this worker's number; answer with the names of functions."""
        functions = self._functions
        self._coroutine_calls.limit(call.args[0])
        if len(call.args) > 2 and isinstance(call.args[2], int):
            set_rank(max(0, call.args[2]))
        if self._is_served(call, call.args[1] if len(call.args) > 1 else ""):  # the function that a pool is for
            coroutines = [name for name in functions.by_name if name not in functions.plain]
            has_all = len(call.args) > 3 and call.args[3] is True
            names = {"coroutines": coroutines, "functions": functions.names} if has_all else coroutines
            self._replies.send(call.id, True, names)

    def _send_version(self, call: Call) -> None:
        """Answer with what a function is, as this worker has loaded it."""
        if not self._is_served(call, call.args[0]):
            return
        try:
            answer = describe_function(self._functions.by_name[call.args[0]])
        except Exception as error:
            self._replies.send(call.id, False, encode_error(strip_internal_frames(error)))
        else:
            self._replies.send(call.id, True, answer)

    def _is_served(self, call: Call, name: Any) -> bool:
        """Return True for the name of a function that is served; answer a call that asks for another one."""
        try:
            self._functions.look_up(name)
        except LookupError as error:
            self._replies.send(call.id, False, encode_error(strip_internal_frames(error)) | {"type": NO_FUNCTION})
            return False
        return True

    def _flush_soon(self) -> None:
        """Flush, and again soon while calls wait, so that no result waits for long behind a slow call."""
        self._answers.flush()
        is_needed = self._waiting.calls or self._answers.are_waiting
        self._flushing = self._loop.call_later(_FLUSH, self._flush_soon) if is_needed else None
