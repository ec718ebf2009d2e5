"""The worker that answers calls: plain functions and coroutine functions by name."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

from aioparcs.channel import CONCURRENCY, NO_FUNCTION, Call, Channel, ResultLog, ResultWriter, encode_error
from aioparcs.errors import EndOfChannel
from aioparcs.service.functions.coroutine_calls import CoroutineCalls
from aioparcs.service.functions.plain_calls import PlainCalls
from aioparcs.service.functions.replies import Replies
from aioparcs.service.functions.revocations import Revocations
from aioparcs.service.functions.waiting_calls import WaitingCalls

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
    """

    def __init__(
        self, functions: dict[str, Callable[..., Any]], channel: Channel, result_log: ResultLog | None
    ) -> None:
        self._functions = {"": next(iter(functions.values())), **functions}
        wrapped = {name for name, function in self._functions.items() if _wraps_coroutine(function)}
        self._plain = {
            name for name, function in self._functions.items() if not inspect.iscoroutinefunction(function)
        } - wrapped
        self._server = channel.call_server
        self._answers = ResultWriter(self._server, result_log)
        self._replies = Replies(self._answers)
        self._waiting = WaitingCalls()
        self._plain_calls = PlainCalls(self._functions, self._waiting, self._answers)
        self._coroutine_calls = CoroutineCalls(
            self._functions, wrapped, self._plain_calls, self._waiting, self._answers, self._replies
        )
        self._revocations = Revocations(self._server, self._waiting, self._coroutine_calls)
        self._loop = asyncio.get_running_loop()
        self._flushing: asyncio.TimerHandle | None = None

    async def answer(self) -> None:
        """Run the calls and send their results; returns when the runner has ended the channel."""
        running = self._coroutine_calls.running
        try:
            while True:
                self._begin(await self._server.recv_calls(await self._waiting.wait_for_room(running)))
                # The thread may have begun the last of these calls, and keep the results of those before it.
                if self._flushing is None and (self._waiting.calls or self._answers.are_waiting):
                    self._flush_soon()
        except EndOfChannel:
            return
        finally:
            self._waiting.calls.clear()
            self._plain_calls.end()
            if self._flushing:
                self._flushing.cancel()
            await self._coroutine_calls.cancel_all()
            await self._replies.cancel()
            self._answers.close()

    def _begin(self, calls: list[Call]) -> None:
        plain, waiting, put = self._plain, self._waiting.calls, self._plain_calls.put
        unwanted = self._revocations.unwanted
        self._revocations.note_arrival(calls[-1].id)
        for call in calls:
            if unwanted and call.id in unwanted:
                unwanted.discard(call.id)
            elif call.name in plain:
                waiting[call.id] = call
                put(call)
            elif call.name in self._functions:
                waiting[call.id] = call
                self._coroutine_calls.put(call)
            else:
                self._refuse(call)
        self._coroutine_calls.advance()
        self._plain_calls.start()

    def _refuse(self, call: Call) -> None:
        """Answer a call of no function that is served here: the pool's question, or a mistake."""
        if call.name != CONCURRENCY or not call.args or not isinstance(call.args[0], int):
            self._replies.send(call.id, False, self._no_function(call.name))
            return
        self._coroutine_calls.limit(call.args[0])
        wanted = call.args[1] if len(call.args) > 1 else ""  # the function that a pool is for
        if wanted in list(self._functions):  # a list, since a peer may send what has no hash
            self._replies.send(call.id, True, [name for name in self._functions if name not in self._plain])
        else:
            self._replies.send(call.id, False, self._no_function(wanted) | {"type": NO_FUNCTION})

    def _no_function(self, name: Any) -> dict[str, Any]:
        names = ", ".join(filter(None, self._functions))
        return encode_error(LookupError(f"no function {name!r} is served here; there are: {names}"))

    def _flush_soon(self) -> None:
        """Flush, and again soon while calls wait, so that no result waits for long behind a slow call."""
        self._answers.flush()
        is_needed = self._waiting.calls or self._answers.are_waiting
        self._flushing = self._loop.call_later(_FLUSH, self._flush_soon) if is_needed else None


def _wraps_coroutine(function: Callable[..., Any]) -> bool:
    """Return True for a plain function that wraps a coroutine function, as those of most decorators do."""
    return not inspect.iscoroutinefunction(function) and inspect.iscoroutinefunction(inspect.unwrap(function))
