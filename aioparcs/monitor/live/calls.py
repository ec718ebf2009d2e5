"""The calls of a job: spans for the timeline, functions, the slowest calls and those that have failed."""

from __future__ import annotations

from collections import deque
from typing import Any, NamedTuple

from aioparcs.events import CallSpan
from aioparcs.monitor.records import Calls, FunctionRow, rounded

__all__ = ["FAILURES", "CallLog"]

_MOST, _KEPT = 20_000, 10_000  # spans at which they are merged, and how many there are then
_FUNCTIONS = 100  # that are listed; calls of all others count as those of one more
_OTHERS = "others"
_SLOWEST = 50
FAILURES = 50  # failed calls that are kept
_TALK = -1  # in place of the number of a function: messages, and no call
_PAUSE = 0.5  # seconds between two times with messages that are one conversation


class _Span(NamedTuple):
    worker: int
    function: int
    begin: float
    end: float
    busy: float
    calls: int
    failed: int
    call: str
    error: str
    cancelled: int


class _Function:
    """The sums of a function's calls."""

    __slots__ = ("busy", "calls", "cancelled", "failed", "longest")

    def __init__(self) -> None:
        self.calls = self.failed = self.cancelled = 0
        self.busy = self.longest = 0.0


class CallLog:
    """
    The calls that workers have made, in a bounded number of spans: older ones are merged when they become too many.

    Attributes:
        merged: how often spans were merged.
        calls: the number of calls.
        failed: how many of these have failed.
        cancelled: how many were cancelled while they ran.
        failures_seen: how many failed calls were listed by themselves.
    """

    def __init__(self) -> None:
        self.merged = self.calls = self.failed = self.cancelled = self.failures_seen = 0
        self._spans: list[_Span] = []
        self._numbers: dict[str, int] = {}
        self._functions: list[_Function] = []
        self._slowest: list[tuple[float, str, str, int, float]] = []
        self._failures: deque[list[Any]] = deque(maxlen=FAILURES)
        self._step = 0.0

    def __len__(self) -> int:
        """Return the number of spans."""
        return len(self._spans)

    def add(self, span: CallSpan, traceback: str = "") -> None:
        """Add calls; the span's times are those of the job, and it has the name of its function."""
        number = self._number(span.function)
        function = self._functions[number]
        self.calls += span.calls
        self.failed += span.failed
        self.cancelled += span.cancelled
        function.calls += span.calls
        function.failed += span.failed
        function.cancelled += span.cancelled
        function.busy += span.busy
        begin, end, busy = map(rounded, (span.begin, span.end, span.busy))
        details = span.calls, span.failed, span.call, span.reason, span.cancelled
        self._spans.append(_Span(span.worker, number, begin, end, busy, *details))
        if span.calls == 1:
            function.longest = max(function.longest, span.busy)
            self._rank(span)
        if span.error and span.failed:
            self.failures_seen += 1
            row = [rounded(span.end), span.function, span.call, span.reason, span.worker, traceback]
            self._failures.append(row)
        if len(self._spans) > _MOST:
            self._merge()

    def talk(self, worker: int, begin: float, end: float, messages: int) -> None:
        """Add a time in which a worker was in no call, and its channel has carried messages."""
        self._spans.append(
            _Span(worker, _TALK, rounded(begin), rounded(end), rounded(end - begin), messages, 0, "", "", 0)
        )
        if len(self._spans) > _MOST:
            self._merge()

    def spans(self, first: int = 0) -> Calls:
        """Return the rows of spans, from one on."""
        return [list(span) for span in self._spans[first:]]

    def spans_of(self, worker: int, most: int) -> Calls:
        """Return the rows of the last spans of a worker's calls."""
        return [list(span) for span in self._spans if span.worker == worker and span.function != _TALK][-most:]

    def functions(self) -> list[FunctionRow]:
        """Return the rows of functions, by number."""
        return [
            {"name": name, "calls": one.calls, "failed": one.failed, "cancelled": one.cancelled,
             "busy": rounded(one.busy), "longest": rounded(one.longest)}
            for name, one in zip(self._numbers, self._functions, strict=True)
        ]  # fmt: skip

    def slowest(self) -> Calls:
        """Return the rows of the slowest calls that are listed by themselves, the slowest first."""
        return [[rounded(busy), *rest, rounded(begin)] for busy, *rest, begin in self._slowest]

    def failures(self, seen: int = 0) -> Calls:
        """Return the rows of failed calls that came after the first ones, as far as they are kept."""
        new = self.failures_seen - seen
        return [list(row) for row in self._failures][-new:] if new > 0 else []

    def _number(self, function: str) -> int:
        if len(self._numbers) >= _FUNCTIONS and function not in self._numbers:
            function = _OTHERS
        number = self._numbers.setdefault(function, len(self._numbers))
        if number == len(self._functions):
            self._functions.append(_Function())
        return number

    def _rank(self, span: CallSpan) -> None:
        """Add a call to the slowest ones if it is one of them."""
        slowest = self._slowest
        if not span.call or (len(slowest) == _SLOWEST and span.busy <= slowest[-1][0]):
            return
        slowest.append((span.busy, span.function, span.title, span.worker, span.begin))
        slowest.sort(key=lambda one: -one[0])
        del slowest[_SLOWEST:]

    def _merge(self) -> None:
        """Merge spans of a worker that are close together, more and more of them, until there are few enough."""
        spans, longest = self._spans, max(span.end for span in self._spans)
        self._step = self._step or max(longest / _MOST, 0.001)
        spans = _merged(spans, self._step)
        while len(spans) > _KEPT and self._step < longest:
            self._step *= 2
            spans = _merged(spans, self._step)
        self._spans = spans[-_KEPT:]  # there may be more workers than that
        self._step /= 2  # what is old is merged a bit more each time, what is new keeps its details
        self.merged += 1


def _merged(spans: list[_Span], step: float) -> list[_Span]:
    """
    Return spans of which those of a worker that are together no longer than a step have become one.

    A conversation is one span, however long it is.
    """
    merged: list[_Span] = []
    last: dict[tuple[int, bool], int] = {}  # where the last span of a worker's calls, or conversations, is
    for span in spans:
        key = span.worker, span.function == _TALK
        place = last.get(key)
        if place is not None and _is_close(merged[place], span, step):
            merged[place] = _joined(merged[place], span)
        else:
            last[key] = len(merged)
            merged.append(span)
    return merged


def _is_close(first: _Span, second: _Span, step: float) -> bool:
    if second.function == _TALK and second.begin - first.end <= _PAUSE:
        return True
    return max(second.end, first.end) - min(second.begin, first.begin) <= step


def _joined(first: _Span, second: _Span) -> _Span:
    """Return two spans as one: the function is that of the busier one, the text that of a failed one."""
    main, other = (second, first) if second.busy > first.busy else (first, second)
    text = other if other.failed and not main.failed else main
    return _Span(
        main.worker,
        main.function,
        min(first.begin, second.begin),
        max(first.end, second.end),
        rounded(first.busy + second.busy),
        first.calls + second.calls,
        first.failed + second.failed,
        text.call,
        text.error,
        first.cancelled + second.cancelled,
    )
