"""The spans of a pool's calls for OpenTelemetry."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from time import monotonic_ns, time_ns
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from aioparcs.pool.observers import observed
from aioparcs.pool.scheduler import Action, Client, Outcome, PendingCall, Repeat, Settle, WorkerState
from aioparcs.pool.spans import Earlier, WorkerSpans
from aioparcs.task import SHORT
from aioparcs.telemetry import attributes_of, find_tracer, note_error

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
    within a second, whether or not there are other calls. Where workers make spans themselves, each call has its own.

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
        self._contexts: WeakKeyDictionary[Client, Context] = WeakKeyDictionary()
        self._earlier: Earlier = WeakKeyDictionary()
        self._linked: set[int] = set()  # workers whose calls have spans of their own
        self._short: dict[int, _Short] = {}  # by worker
        self._due: asyncio.TimerHandle | None = None  # ends the spans of short calls

    def worker_spans(self, worker: int, *, is_linked: bool) -> WorkerSpans:
        if is_linked:
            self._linked.add(worker)
        return WorkerSpans(self._tracer, self._describe, worker, self._earlier, is_linked=is_linked)

    def added(self, client: Client) -> None:
        self._contexts[client] = self._here()

    def submitted(self, call: PendingCall) -> None:
        call.context = self._here()

    def sent(self, calls: Sequence[PendingCall], now: float) -> None:
        for call in calls:
            call.sent = now

    def answered(self, worker: WorkerState, begin: float, now: float, actions: Sequence[Action]) -> None:
        if worker.id in self._linked:
            return
        outcomes = list(_outcomes(actions))
        share = (now - begin) / max(1, len(outcomes))
        for place, (call, is_done, value) in enumerate(outcomes):
            start, end = begin + share * place, begin + share * (place + 1)
            if (sent := getattr(call, "sent", None)) is not None:
                start, end = sent, now
            if is_done and end - start < SHORT and call not in self._earlier:
                self._add_short(worker.id, call, start, end)
            else:
                self._end_short(worker.id)
                observed(self._make_one, worker.id, call, start, end, None if is_done else value)

    def cancelled(self, worker: WorkerState, call: PendingCall, now: float, error: BaseException) -> None:
        if worker.id not in self._linked and call in worker.begun:
            self._end_short(worker.id)
            self._make_one(worker.id, call, getattr(call, "sent", worker.since), now, error)

    def ended(
        self, worker: int, function: str, begin: float, now: float, error: BaseException | None, text: Callable[[], str]
    ) -> None:
        """Do nothing: the spans of streams begin with them."""

    def publish(self) -> None:
        if self._due is not None:
            self._due.cancel()
            self._due = None
        for worker in list(self._short):
            self._end_short(worker)

    def _describe(self, worker: int, call: PendingCall | str) -> tuple[str, dict[str, Any], Context | None]:
        """Return the name of the span of a call or a stream, its attributes, and its place, None for the present."""
        if isinstance(call, str):
            return *self._attributes(worker, call), None
        name, attributes = self._attributes(worker, call.served)
        if call.index >= 0:
            attributes["aioparcs.item"] = call.index
        return name, attributes, self._context_of(call)

    def _attributes(self, worker: int, function: str, calls: int = 1) -> tuple[str, dict[str, Any]]:
        """Return the name of a span, and the attributes that those of streams, calls and short calls have."""
        name, attributes = attributes_of(self._module, function, worker)
        return name, {**attributes, "aioparcs.pool": self._pool, "aioparcs.calls": calls}

    def _context_of(self, call: PendingCall) -> Context:
        """Return where a call was made."""
        return getattr(call, "context", None) or self._contexts.get(call.client) or self._opened

    def _add_short(self, worker: int, call: PendingCall, begin: float, end: float) -> None:
        short, function, context = self._short.get(worker), call.served, self._context_of(call)
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
            observed(self._make_short, worker, short)

    def _make_short(self, worker: int, short: _Short) -> None:
        name, attributes = self._attributes(worker, short.function, short.calls)
        self._make(name, attributes, short.context, short.begin, short.end)

    def _make_one(self, worker: int, call: PendingCall, begin: float, end: float, error: BaseException | None) -> None:
        name, attributes, context = self._describe(worker, call)
        self._make(name, attributes, context, begin, end, call, error)

    def _make(
        self, name: str, attributes: dict[str, Any], context: Context | None, begin: float, end: float,
        call: PendingCall | None = None, error: BaseException | None = None,
    ) -> None:  # fmt: skip
        from opentelemetry.trace import Link, SpanKind

        before = None if call is None else self._earlier.get(call)
        links = [Link(before)] if before is not None else None
        offset = time_ns() - monotonic_ns()  # by now: the clock may have been set since the pool was opened
        start = int(begin * 1e9) + offset
        span = self._tracer.start_span(name, context, SpanKind.CLIENT, attributes, links, start_time=start)
        if error is not None:
            note_error(span, error)
            if call is not None:
                self._earlier[call] = span.get_span_context()
        span.end(int(end * 1e9) + offset)


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
