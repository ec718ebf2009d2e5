"""
Spans of calls for OpenTelemetry, by its stable conventions for remote procedure calls.

Nothing is loaded for it: a program that has set a tracer provider has loaded OpenTelemetry itself.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from aioparcs.errors import RemoteError
from aioparcs.events import report_once
from aioparcs.settings import VERSION

if TYPE_CHECKING:
    from opentelemetry.trace import Span, Tracer, TracerProvider
    from opentelemetry.util.types import AttributeValue

__all__ = ["attributes_of", "find_tracer", "note_error", "traced"]

_known: tuple[TracerProvider, Tracer | None] | None = None  # the last provider that was seen, and what it has made


def find_tracer() -> Tracer | None:
    """Return the tracer of calls; None unless the program has set a tracer provider."""
    global _known
    trace = sys.modules.get("opentelemetry.trace")
    if trace is None:
        return None
    provider = trace.get_tracer_provider()
    if _known is None or _known[0] is not provider:
        is_set = not isinstance(provider, trace.ProxyTracerProvider | trace.NoOpTracerProvider)
        _known = provider, provider.get_tracer("aioparcs", VERSION) if is_set else None
    return _known[1]


def attributes_of(module: str, function: str, worker: int) -> tuple[str, dict[str, AttributeValue]]:
    """Return the name of a call's span, which is that of the function, and the attributes that it begins with."""
    place, _, name = function.rpartition(":")
    method = f"{place or module}/{name}" if name else module  # a module's only function has no name of its own
    attributes: dict[str, AttributeValue] = {
        "rpc.system.name": "aioparcs",
        "rpc.method": method,
        "server.address": module,
        "aioparcs.worker": worker,
    }
    return method, attributes


def note_error(span: Span, error: BaseException) -> None:
    """Note on a span that its call has failed, and why."""
    from opentelemetry.trace import Status, StatusCode

    span.set_attribute("error.type", error.type if isinstance(error, RemoteError) else type(error).__qualname__)
    span.set_status(Status(StatusCode.ERROR, str(error)))
    span.record_exception(error)


async def traced(tracer: Tracer, module: str, function: str, worker: int, result: Awaitable[Any]) -> Any:
    """
    Wait for the result of a call in a span that is the child of the present one, and return it.

    What a processor of the user's raises is reported in one line, and affects no call.
    """
    from opentelemetry.trace import INVALID_SPAN, SpanKind, use_span

    name, attributes = attributes_of(module, function, worker)
    span: Span = INVALID_SPAN
    with _reported():
        span = tracer.start_span(name, kind=SpanKind.CLIENT, attributes=attributes)
    try:
        with use_span(span, record_exception=False, set_status_on_exception=False):
            return await result
    except BaseException as error:
        with _reported():
            note_error(span, error)
        raise
    finally:
        with _reported():
            span.end()


@contextmanager
def _reported() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        report_once("the span of a call failed", error)
