"""Spans of OpenTelemetry in tests: those of this process, and those that workers have written to files."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, Tracer

__all__ = ["FileExporter", "Made", "Telemetry", "attributes", "parent", "read_spans"]


class Telemetry:
    """
    A provider of tracers that remembers.

    Attributes:
        tracer: a tracer of the program's own.
    """

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self._provider = TracerProvider()
        self._provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracer: Tracer = self._provider.get_tracer("test")

    @property
    def provider(self) -> TracerProvider:
        return self._provider

    @property
    def spans(self) -> list[ReadableSpan]:
        """All spans that have ended."""
        return list(self._exporter.get_finished_spans())

    @property
    def calls(self) -> list[ReadableSpan]:
        """The spans of calls, in the order of their begins."""
        spans = [span for span in self.spans if span.kind is SpanKind.CLIENT]
        return sorted(spans, key=lambda span: span.start_time or 0)


class Made(NamedTuple):
    """A span that has ended, in whichever process; its ids are hexadecimal digits."""

    process: int
    kind: str
    name: str
    trace: str
    id: str
    parent: str
    links: list[str]
    attributes: dict[str, Any]
    events: list[str]
    stack: str

    @classmethod
    def of(cls, span: ReadableSpan) -> "Made":
        assert span.context is not None
        return cls(
            os.getpid(),
            span.kind.name,
            span.name,
            f"{span.context.trace_id:032x}",
            f"{span.context.span_id:016x}",
            f"{span.parent.span_id:016x}" if span.parent else "",
            [f"{link.context.span_id:016x}" for link in span.links],
            attributes(span),
            [event.name for event in span.events],
            "".join(str((event.attributes or {}).get("exception.stacktrace", "")) for event in span.events),
        )


class FileExporter(SpanExporter):
    """Writes spans to a file of its process, one in a line."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        with (self._folder / f"{os.getpid()}.spans").open("a") as file:
            file.writelines(f"{json.dumps(Made.of(span))}\n" for span in spans)
        return SpanExportResult.SUCCESS


def read_spans(folder: Path) -> list[Made]:
    """Return the spans that workers have written into a folder."""
    lines = (line for path in folder.glob("*.spans") for line in path.read_text().splitlines())
    return [Made(*json.loads(line)) for line in lines]


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def parent(span: ReadableSpan) -> int | None:
    return span.parent.span_id if span.parent else None
