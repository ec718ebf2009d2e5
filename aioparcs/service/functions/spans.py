"""The spans of a worker's calls for OpenTelemetry: each is the child of its caller's."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from aioparcs.service.tracebacks import strip_internal_frames
from aioparcs.telemetry import CallSpan, attributes_of, find_tracer, read_context

__all__ = ["ServerSpans"]


class ServerSpans:
    """
    Makes the spans of calls that are run here, if the worker's program has set a tracer provider.

    Args:
        module: what the module is called.
        worker: the worker's number.
    """

    def __init__(self, module: str, worker: int) -> None:
        self._module = module
        self._worker = worker
        self._open: dict[CallSpan, None] = {}  # those of functions that `wrap` has made

    @property
    def are_wanted(self) -> bool:
        """True once the program has set a tracer provider."""
        return find_tracer() is not None

    def begin(self, name: str, context: Any) -> CallSpan | None:
        """Return the span of a call that begins now; its trace context is what the caller has sent as one."""
        tracer = find_tracer()
        if tracer is None:
            return None
        attributes = attributes_of(self._module, name, self._worker)
        return CallSpan(tracer, *attributes, read_context(context), is_server=True)

    def wrap(self, function: Callable[..., Any], name: str, context: Any) -> Callable[..., Any]:
        """Return a function that does the same in a span, also while what it returns is awaited."""

        def run(*args: Any, **kwargs: Any) -> Any:
            span = self.begin(name, context)
            if span is None:
                return function(*args, **kwargs)
            self._open[span] = None
            try:
                with span.current():
                    value = function(*args, **kwargs)
            except BaseException as error:
                self._end(span, strip_internal_frames(error))
                raise
            if hasattr(type(value), "__await__"):
                return self._wait(span, value)
            self._end(span)
            return value

        return run

    def close(self) -> None:
        """End the spans of functions that still run, in the thread: they end with this process."""
        for span in list(self._open):
            self._end(span, asyncio.CancelledError("its worker ends"))

    async def _wait(self, span: CallSpan, awaitable: Awaitable[Any]) -> Any:
        try:
            with span.current():
                value = await awaitable
        except BaseException as error:
            self._end(span, strip_internal_frames(error))
            raise
        self._end(span)
        return value

    def _end(self, span: CallSpan, error: BaseException | None = None) -> None:
        if self._open.pop(span, self) is None:  # it has not ended, and does so only once
            span.end(error)
