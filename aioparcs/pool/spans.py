"""The spans of one worker's calls and streams, for OpenTelemetry."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from aioparcs.pool.scheduler import PendingCall, Result
from aioparcs.telemetry import CallSpan
from aioparcs.wire import REVOKED

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import SpanContext, Tracer

__all__ = ["Earlier", "WorkerSpans"]

# The last span of each call that has failed: the span of its next try has a link to it. (That of a second worker's copy
# of a call has a link to the call's own.)
Earlier = WeakKeyDictionary[PendingCall, "SpanContext"]
# That of a stream, each of which opens its generators in a context of its own.
_stream_before: ContextVar[SpanContext | None] = ContextVar("_stream_before", default=None)


class WorkerSpans:
    """
    Makes the spans of a worker's streams; and those of its calls, if it makes spans itself, which are their children.

    Such a span begins when the call is sent, since its identity is sent with it.

    Args:
        tracer: makes the spans.
        describe: returns the name, the attributes and the place of the span of a worker's call, or of its stream of a
            function.
        worker: the worker's number.
        earlier: the last spans of calls that have failed.
        is_linked: whether calls have spans.

    Attributes:
        is_linked: the same.
    """

    def __init__(
        self, tracer: Tracer, describe: Callable[[int, PendingCall | str], tuple[str, dict[str, Any], Context | None]],
        worker: int, earlier: Earlier, *, is_linked: bool,
    ) -> None:  # fmt: skip
        self.is_linked = is_linked
        self._tracer = tracer
        self._describe = describe
        self._worker = worker
        self._earlier = earlier
        self._calls: dict[int, tuple[PendingCall, CallSpan]] = {}

    def begin(self, call: PendingCall) -> dict[str, str] | None:
        """Begin the span of a call that is about to be sent, and return its trace context."""
        original = getattr(call, "original", None)  # which another worker has, and takes long for
        span = self._make(call, self._earlier.get(call) or getattr(original, "span", None))
        call.span = span.span.get_span_context()
        self._calls[call.call_id] = call, span
        return span.context

    def settle(self, results: Iterable[Result]) -> None:
        """End the spans of calls that were answered; one that the worker has given back says so."""
        for call_id, ok, value in results:
            if (begun := self._calls.pop(call_id, None)) is None:
                continue
            call, span = begun
            if ok:
                span.end()
            elif getattr(value, "type", "") == REVOKED:
                span.span.set_attribute("aioparcs.revoked", True)
                span.end()
            else:
                self._fail(call, span, value)

    def reject(self, call: PendingCall, error: BaseException) -> None:
        """End the span of a call that could not be sent, or whose result is no longer needed."""
        if begun := self._calls.pop(call.call_id, None):
            self._fail(*begun, error)

    def close(self, error: BaseException) -> None:
        """End the spans of calls that will not be answered."""
        for begun in self._calls.values():
            self._fail(*begun, error)
        self._calls.clear()

    def open_stream(self, function: str) -> CallSpan:
        """Return the span of a stream, which begins now."""
        span = self._make(function, _stream_before.get())
        _stream_before.set(span.span.get_span_context())
        return span

    def _make(self, call: PendingCall | str, before: SpanContext | None) -> CallSpan:
        from opentelemetry.trace import Link

        name, attributes, context = self._describe(self._worker, call)
        return CallSpan(self._tracer, name, attributes, context, links=[Link(before)] if before else None)

    def _fail(self, call: PendingCall, span: CallSpan, error: BaseException) -> None:
        self._earlier[call] = span.span.get_span_context()
        span.end(error)
