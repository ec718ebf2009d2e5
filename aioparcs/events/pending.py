"""Calls and numbers that wait for room in a log: calls are merged meanwhile, and numbers give way to newer ones."""

from __future__ import annotations

from itertools import chain, islice

from aioparcs.events.records import CallSpan, CallSpans, CallTraceback
from aioparcs.events.samples import ChannelSample, ChannelSamples, Use, WorkerUsage

__all__ = ["PendingNumbers", "PendingSpans"]

_FEW = 150  # spans that wait and are written as they are; the calls of each worker become one span if there are more
_FAILURES = 3  # failed calls of a worker and function that keep a span of their own then
_TRACED = 50  # failed calls, the last ones, whose tracebacks wait
_MOST = 5000  # spans at which they are merged at once
_TOGETHER = 20  # of one event
_PERIOD = 5.0  # seconds between two times at which numbers are written


_Key = tuple[int | None, int, str]  # a pool, a worker, and a function


class PendingSpans:
    """Spans of calls, the oldest first."""

    def __init__(self) -> None:
        self._spans: dict[_Key, list[CallSpan]] = {}
        self._tracebacks: dict[CallSpan, str] = {}
        self._count = 0

    def __bool__(self) -> bool:
        """Return whether there are any."""
        return bool(self._spans)

    def add(self, event: CallSpans) -> None:
        """Add the spans of an event."""
        for span in event.spans:
            self._spans.setdefault((event.pool, span.worker, span.function), []).append(span)
        self._count += len(event.spans)
        for one in event.tracebacks:
            self._tracebacks.update((event.spans[place], one.text) for place in one.spans)
        for span in list(self._tracebacks)[:-_TRACED]:
            del self._tracebacks[span]
        if self._count > _MOST:
            for key in self._spans:
                self._merge(key)

    def first(self, time: float) -> CallSpans:
        """Return the first spans of a pool, as an event of a time; those of one worker are merged if all are many."""
        pool = next(iter(self._spans))[0]
        keys = list(islice((key for key in self._spans if key[0] == pool), _TOGETHER))
        if self._count > _FEW:
            for key in keys:
                self._merge(key)
        spans = tuple(islice(chain.from_iterable(self._spans[key] for key in keys), _TOGETHER))
        return CallSpans(time, pool, spans, self._tracebacks_of(spans))

    def remove(self, event: CallSpans) -> None:
        """Remove the spans that `first` has returned."""
        for span in event.spans:
            key = event.pool, span.worker, span.function
            del self._spans[key][0]
            self._tracebacks.pop(span, None)
            if not self._spans[key]:
                del self._spans[key]
        self._count -= len(event.spans)

    def _tracebacks_of(self, spans: tuple[CallSpan, ...]) -> tuple[CallTraceback, ...]:
        places: dict[str, list[int]] = {}
        for place, span in enumerate(spans if self._tracebacks else ()):
            if text := self._tracebacks.get(span):
                places.setdefault(text, []).append(place)
        return tuple(CallTraceback(tuple(own), text) for text, own in places.items())

    def _merge(self, key: _Key) -> None:
        before, after = self._spans[key], _merged(self._spans[key])
        self._spans[key] = after
        self._count += len(after) - len(before)


class PendingNumbers:
    """The newest numbers of workers: what their channels carry, and what they use."""

    def __init__(self) -> None:
        self._channels: dict[int, ChannelSample] = {}
        self._usages: dict[int, Use] = {}
        self._left = 0  # workers whose numbers are still to be written this time
        self._next = 0.0

    def add(self, event: ChannelSamples | WorkerUsage) -> None:
        """Replace numbers by newer ones."""
        if isinstance(event, ChannelSamples):
            self._channels.update((sample.worker, sample) for sample in event.samples)
        else:
            self._usages.update((use.worker, use) for use in event.usages)

    def is_due(self, time: float) -> bool:
        """Return whether there are numbers to be written."""
        if time >= self._next:
            self._next = time + _PERIOD
            self._left = len(self._channels) + len(self._usages)
        return self._left > 0 and bool(self._channels or self._usages)

    def first(self, time: float) -> ChannelSamples | WorkerUsage:
        """Return the first of them, as an event of a time."""
        if self._usages:
            return WorkerUsage(time, tuple(islice(self._usages.values(), _TOGETHER)))
        return ChannelSamples(time, tuple(islice(self._channels.values(), _TOGETHER)))

    def remove(self, event: ChannelSamples | WorkerUsage) -> None:
        """Remove what `first` has returned."""
        if isinstance(event, ChannelSamples):
            written = [self._channels.pop(sample.worker) for sample in event.samples]
            self._left -= len(written)
        else:
            self._left -= len([self._usages.pop(use.worker) for use in event.usages])


def _merged(spans: list[CallSpan]) -> list[CallSpan]:
    """Return the spans of a worker's calls of a function as one, and the first that have failed by themselves."""
    if len(spans) == 1:
        return spans
    failures = [span for span in spans if span.failed and span.error and span.calls == 1][:_FAILURES]
    others = [span for span in spans if span not in failures]
    if not others:
        return failures
    begin, end = min(span.begin for span in others), max(span.end for span in others)
    busy, calls = sum(span.busy for span in others), sum(span.calls for span in others)
    first = others[0]._replace(call="", error="") if len(others) > 1 else others[0]
    counts = {name: sum(getattr(span, name) for span in others) for name in ("failed", "cancelled", "lost")}
    return [first._replace(begin=begin, end=end, busy=round(busy, 6), calls=calls, **counts), *failures]
