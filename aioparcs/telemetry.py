"""
Spans of calls for OpenTelemetry, by its stable conventions for remote procedure calls, and the trace context of calls.

Nothing is loaded for it: a program that has set a tracer provider has loaded OpenTelemetry itself.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import msgpack

from aioparcs.errors import origin_of, type_name
from aioparcs.settings import VERSION

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Link, Span, Tracer, TracerProvider
    from opentelemetry.util.types import AttributeValue

__all__ = [
    "LONGEST_NAME",
    "CallSpan",
    "attributes_of",
    "context_of",
    "find_tracer",
    "note_error",
    "present_context",
    "present_place",
    "read_context",
    "reported",
    "set_context",
    "traced",
]

TRACEPARENT, TRACESTATE = "traceparent", "tracestate"
LONGEST_NAME = 200
"""Characters of the name of a call's function in a span, at the most: any text can be called, if in vain."""
# Characters of each that are sent and read, at the most: those that all who pass on a tracestate have to take.
_LONGEST = 512

_known: tuple[TracerProvider, Tracer | None] | None = None  # the last provider that was seen, and what it has made


def find_tracer() -> Tracer | None:
    """Return the tracer of calls; None unless the program has set a tracer provider."""
    global _known
    trace = sys.modules.get("opentelemetry.trace")
    if trace is None:
        return None
    try:
        # This loads what OTEL_PYTHON_TRACER_PROVIDER names, which may not be there.
        provider = trace.get_tracer_provider()
        known = _known
        if known is None or known[0] is not provider:
            is_set = not isinstance(provider, trace.ProxyTracerProvider | trace.NoOpTracerProvider)
            _known = known = provider, provider.get_tracer("aioparcs", VERSION) if is_set else None
    except Exception as error:
        _report(error)
        return None
    return known[1]


def attributes_of(module: str, function: str, worker: int) -> tuple[str, dict[str, AttributeValue]]:
    """Return the name of a call's span, which is that of the function, and the attributes that it begins with."""
    place, _, name = function.rpartition(":")
    # A function that workers serve alone, or first, has no name in calls: it has that of what was started.
    method = "/".join(filter(None, (place or module, name or module)))[:LONGEST_NAME]
    attributes: dict[str, AttributeValue] = {"rpc.system.name": "aioparcs", "rpc.method": method}
    if module:
        attributes["server.address"] = module
    return method, attributes | {"aioparcs.worker": worker}


def note_error(span: Span, error: BaseException) -> None:
    """Note on a span that its call has failed, and why."""
    from opentelemetry.trace import Status, StatusCode

    name, _ = origin_of(error) or (type_name(type(error)), "")
    span.set_attribute("error.type", name)
    span.set_status(Status(StatusCode.ERROR, str(error)))
    span.record_exception(error)


class CallSpan:
    """
    The span of one call. What a processor of the user's raises is reported in one line, and affects no call.

    Args:
        tracer: makes it.
        name, attributes: see `attributes_of`.
        parent: where its parent is; the present one if None.
        is_server: whether the call is run here, and not made here.
        links: what else it has to do with.
    """

    def __init__(
        self, tracer: Tracer, name: str, attributes: dict[str, AttributeValue], parent: Context | None = None,
        *, is_server: bool = False, links: list[Link] | None = None,
    ) -> None:  # fmt: skip
        from opentelemetry.trace import INVALID_SPAN, SpanKind

        self.span: Span = INVALID_SPAN
        kind = SpanKind.SERVER if is_server else SpanKind.CLIENT
        with reported():
            self.span = tracer.start_span(name, parent, kind, attributes, links)

    @contextmanager
    def current(self) -> Iterator[None]:
        """Set it as the present span of the block."""
        from opentelemetry.trace import use_span

        with use_span(self.span, record_exception=False, set_status_on_exception=False):
            yield

    @property
    def context(self) -> dict[str, str] | None:
        """Its trace context, for those who are called."""
        return context_of(self.span)

    def end(self, error: BaseException | None = None) -> None:
        """End it, with an error if the call has failed."""
        if error is not None:
            with reported():
                note_error(self.span, error)
        with reported():
            self.span.end()


async def traced(tracer: Tracer, module: str, function: str, worker: int, result: Awaitable[Any]) -> Any:
    """Wait for the result of a call in a span that is the child of the present one, and return it."""
    span = CallSpan(tracer, *attributes_of(module, function, worker))
    try:
        with span.current():
            value = await result
    except BaseException as error:
        span.end(error)
        raise
    span.end()
    return value


def present_context() -> dict[str, str] | None:
    """Return the trace context of the present span; None where there is none, or no tracer provider."""
    if find_tracer() is None:
        return None
    from opentelemetry.trace import get_current_span

    return context_of(get_current_span())


def present_place() -> Context | None:
    """Return where spans of calls that are made here belong; None where there are none."""
    if find_tracer() is None:
        return None
    from opentelemetry.context import get_current

    return get_current()


def context_of(span: Span) -> dict[str, str] | None:
    """Return the trace context of a span, as W3C has it in headers; None for a span that is none."""
    context = span.get_span_context()
    if not context.is_valid:
        return None
    found = {TRACEPARENT: f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"}
    state = context.trace_state.to_header()
    if state and len(state) <= _LONGEST:
        found[TRACESTATE] = state
    return found


def read_context(headers: Any) -> Context:
    """Return where the parent of a span is that a peer has sent; whatever it isn't, the result is a root's place."""
    from opentelemetry.context import Context
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    if not isinstance(headers, dict):
        return Context()
    texts = {name: headers.get(name) for name in (TRACEPARENT, TRACESTATE)}
    carrier = {name: text for name, text in texts.items() if type(text) is str and len(text) <= _LONGEST}
    return TraceContextTextMapPropagator().extract(carrier, Context())


def set_context(welcome: bytes) -> None:
    """Set the trace context of this task, as a WELCOME has it; nothing if it is bad, or no spans are made."""
    if not welcome or "opentelemetry.trace" not in sys.modules:
        return
    from opentelemetry.context import attach

    with suppress(Exception):  # of many kinds: the peer may have sent anything
        attach(read_context(msgpack.unpackb(welcome)))


@contextmanager
def reported() -> Iterator[None]:
    """Report what the block raises, which is code of the user's, in one line."""
    try:
        yield
    except Exception as error:
        _report(error)


def _report(error: Exception) -> None:
    from aioparcs.events import report_once  # most workers load no events

    report_once("the trace of a call failed", error)
