"""The spans of a pool's calls for OpenTelemetry."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from time import monotonic_ns, time_ns
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from aioparcs.pool.observers import observed
from aioparcs.pool.scheduler import Action, Client, Outcome, PendingCall, Repeat, Settle, WorkerState
from aioparcs.task import SHORT, attributes_of, find_tracer, note_error

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Tracer

__all__ = ["CallTelemetry", "telemetry_of"]

_LONGEST = 1.0  # seconds of short calls that become one span


@dataclass(slots=True)
class _Short:
    """Short calls of a worker that become one span."""

    function: str
    context: Context
    begin: float
    end: float
    calls: int


class CallTelemetry:
    """
    Makes a span of each call: the child of the span in which its user has made it.

    Calls shorter than 10 ms, one after the other on a worker, become one span that says how many they are. It ends
    within a second, whether or not there are other calls.

    Args:
        tracer: makes the spans.
        module: the module of the workers.
        pool: what the pool is called.
    """

    def __init__(self, tracer: Tracer, module: str, pool: str) -> None:
        from opentelemetry.context import get_current

        self._tracer = tracer
        self._module = module
        self._pool = pool
        self._here = get_current
        self._opened = get_current()
        self._contexts: WeakKeyDictionary[Client | PendingCall, Context] = WeakKeyDictionary()
        self._short: dict[int, _Short] = {}  # by worker
        self._offset = time_ns() - monotonic_ns()
        self._due: asyncio.TimerHandle | None = None  # ends the spans of short calls

    def added(self, client: Client) -> None:
        self._contexts[client] = self._here()

    def submitted(self, call: PendingCall) -> None:
        self._contexts[call] = self._here()

    def sent(self, calls: Sequence[PendingCall], now: float) -> None:
        for call in calls:
            call.sent = now

    def answered(self, worker: WorkerState, begin: float, now: float, actions: Sequence[Action]) -> None:
        outcomes = list(_outcomes(actions))
        share = (now - begin) / max(1, len(outcomes))
        for place, (call, is_done, value) in enumerate(outcomes):
            start, end = begin + share * place, begin + share * (place + 1)
            if (sent := getattr(call, "sent", None)) is not None:
                start, end = sent, now
            context = self._contexts.get(call) or self._contexts.get(call.client) or self._opened
            if is_done and end - start < SHORT:
                self._add_short(worker.id, call.served, context, start, end)
            else:
                self._end_short(worker.id)
                error = None if is_done else value
                observed(self._make, worker.id, call.served, context, start, end, 1, error, call.index)

    def ended(
        self, worker: int, function: str, begin: float, now: float, error: BaseException | None, text: Callable[[], str]
    ) -> None:
        self._make(worker, function, self._opened, begin, now, 1, error)

    def publish(self) -> None:
        if self._due is not None:
            self._due.cancel()
            self._due = None
        for worker in list(self._short):
            self._end_short(worker)

    def _add_short(self, worker: int, function: str, context: Context, begin: float, end: float) -> None:
        short = self._short.get(worker)
        if short and (
            (short.function, short.context) != (function, context)
            or begin - short.end >= SHORT
            or end - short.begin >= _LONGEST
        ):
            self._end_short(worker)
            short = None
        if self._due is None:
            self._due = asyncio.get_running_loop().call_later(_LONGEST, self.publish)
        if short is None:
            self._short[worker] = _Short(function, context, begin, end, 1)
        else:
            short.end = end
            short.calls += 1

    def _end_short(self, worker: int) -> None:
        if short := self._short.pop(worker, None):
            observed(self._make, worker, short.function, short.context, short.begin, short.end, short.calls)

    def _make(
        self, worker: int, function: str, context: Context, begin: float, end: float, calls: int,
        error: BaseException | None = None, index: int = -1,
    ) -> None:  # fmt: skip
        from opentelemetry.trace import SpanKind

        name, attributes = attributes_of(self._module, function, worker)
        attributes |= {"aioparcs.pool": self._pool, "aioparcs.calls": calls}
        if index >= 0:
            attributes["aioparcs.item"] = index
        start = self._time(begin)
        span = self._tracer.start_span(name, context, SpanKind.CLIENT, attributes, start_time=start)
        if error is not None:
            note_error(span, error)
        span.end(self._time(end))

    def _time(self, seconds: float) -> int:
        return int(seconds * 1e9) + self._offset


def telemetry_of(module: str, pool: str) -> CallTelemetry | None:
    """Return what makes spans of a pool's calls; None unless the program has set a tracer provider."""
    tracer = find_tracer()
    return None if tracer is None else CallTelemetry(tracer, module, pool)


def _outcomes(actions: Iterable[Action]) -> Iterator[Outcome]:
    for action in actions:
        if isinstance(action, Settle):
            yield from action.outcomes
        elif isinstance(action, Repeat):
            yield action.call, False, action.error
