"""
The timeline of a report: what each worker did and when, reduced to a resolution at which it is small enough.

No file is read here and no clock: records go in, numbers come out.
"""

from __future__ import annotations

import json
import zlib
from base64 import b64encode
from operator import itemgetter
from typing import NamedTuple

from aioparcs.recording.history import History, WorkerLife, extent

__all__ = ["Series", "Timeline", "make_series", "make_timeline"]

_TRIES = 5  # to find the finest resolution that fits
_FINEST = 20_000  # steps of the whole duration, at first
_TEXTS, _ERRORS = 1500, 500  # calls whose text a timeline has: the longest ones, and those that have failed
_TALK = -1  # in place of the number of a function: messages, and no call
_HOW = {"": 0, "done": 1, "stopped": 2, "lost": 3}
_STEPS = 240  # points of a chart

# Begin, end, function, calls, failed ones, busy seconds, text, and cancelled ones of calls that are drawn as one.
_Merged = tuple[float, float, int, int, int, float, int, int]


class Timeline(NamedTuple):
    """
    The rows of a timeline.

    Attributes:
        packed: its JSON, compressed by zlib, in base64. It holds ``workers``, a list of [number, module, node,
            requested, connected, ended, how], and ``spans``, for each of them a flat list of numbers: the begin since
            the last span's end, the length, the function, the calls, the failed ones, the percentage of the time in
            which it was in a call, the text, -1 for none, and the cancelled ones. Times are multiples of ``unit``. A
            span of the function -1 is a time in which the worker talked, and its calls are messages.
        unit: the seconds of one unit of time.
        step: the seconds below which spans were merged.
        functions: the names of the functions, by number.
        modules: those of the modules.
        nodes: those of the nodes.
        texts: calls, and why they have failed or were cancelled, by number.
    """

    packed: str
    unit: float
    step: float
    functions: list[str]
    modules: list[str]
    nodes: list[str]
    texts: list[tuple[str, str]]


class Series(NamedTuple):
    """
    The course of a program: for each of some steps of time, what was there on average.

    Attributes:
        step: the seconds of a step.
        connected: the workers that were connected.
        busy: those that were in a call.
        rate: the calls per second.
    """

    step: float
    connected: list[float]
    busy: list[float]
    rate: list[float]


def make_timeline(history: History, limit: int) -> Timeline:
    """
    Return the timeline of a program.

    Args:
        history: what is known of it.
        limit: the most characters that ``packed`` may have.
    """
    modules = list(dict.fromkeys(worker.module for worker in history.workers.values()))
    workers = sorted(history.workers.values(), key=lambda one: (modules.index(one.module), one.node, one.number))
    names = [name for worker in workers for name in dict.fromkeys(span.function for span in worker.spans)]
    functions = list(dict.fromkeys(names))
    nodes = list(dict.fromkeys(worker.node for worker in workers))
    texts = _texts(workers)
    unit = max(0.0001, round(history.duration / 1e6, 4))
    rows = [_row(worker, modules.index(worker.module), nodes.index(worker.node), unit) for worker in workers]
    numbers = {name: number for number, name in enumerate(functions)}
    indices = {text: number for number, text in enumerate(texts)}
    spans = [_prepared(worker, numbers, indices) for worker in workers]
    step, packed = _fitting(rows, spans, unit, history.duration, limit)
    return Timeline(packed, unit, step, functions, modules, nodes, texts)


def _fitting(
    rows: list[list[int]], spans: list[list[_Merged]], unit: float, duration: float, limit: int
) -> tuple[float, str]:
    """Return about the finest step at which rows and spans are within a limit, and their text; or the coarsest."""
    finest, coarsest = duration / _FINEST, duration
    best = _pack(rows, [_merged(own, finest) for own in spans], unit)
    if len(best) <= limit:
        return finest, best
    merged = [_merged(own, coarsest) for own in spans]
    best, most = _pack(rows, merged, unit), len(rows)
    while len(best) > limit and most:  # too many workers
        most = most * limit // (len(best) + limit // 8)
        best = _pack(rows[:most], merged[:most], unit)
    for _ in range(_TRIES if most == len(rows) else 0):
        step = (finest * coarsest) ** 0.5
        merged = [_merged(own, step) for own in spans]
        packed = _pack(rows, merged, unit)
        if len(packed) > limit:
            finest, spans = step, merged
        else:
            coarsest, best = step, packed
    return coarsest, best


def make_series(history: History) -> Series:
    """Return the course of a program."""
    step = max(history.duration / _STEPS, 1e-3)
    count = max(1, min(_STEPS, int(history.duration / step + 0.5)))
    connected, busy, rate = ([0.0] * count for _ in range(3))
    for worker in history.workers.values():
        if worker.connected is not None:
            end = history.duration if worker.ended is None else worker.ended
            _spread(connected, worker.connected, end, end - worker.connected, step)
        reached = 0.0
        for span in worker.spans:
            begin, end, share = extent(span)
            _spread(rate, begin, end, span.calls, step)
            begin, reached = max(begin, reached), max(end, reached)
            _spread(busy, begin, end, max(0.0, end - begin) * share, step)
    return Series(step, *([round(value / step, 4) for value in values] for values in (connected, busy, rate)))


def _spread(values: list[float], begin: float, end: float, amount: float, step: float) -> None:
    """Add an amount evenly to the steps from one time to another."""
    if amount <= 0:
        return
    first, last = (min(len(values) - 1, int(time / step)) for time in (begin, end))
    if first == last:
        values[first] += amount
        return
    for number in range(first, last + 1):
        part = min(end, (number + 1) * step) - max(begin, number * step)
        values[number] += amount * max(0.0, part) / (end - begin)


def _texts(workers: list[WorkerLife]) -> list[tuple[str, str]]:
    """Return the calls that a timeline can name: the longest ones, and those that have failed, with their errors."""
    spans = [span for worker in workers for span in worker.spans if span.call]
    longest = sorted(spans, key=lambda span: span.begin - span.end)[:_TEXTS]
    failed = [span for span in spans if span.reason][:_ERRORS]
    return list(dict.fromkeys((span.call, span.reason) for span in (*failed, *longest)))


def _row(worker: WorkerLife, module: int, node: int, unit: float) -> list[int]:
    times = (worker.requested, worker.connected, worker.ended)
    units = [-1 if time is None else round(time / unit) for time in times]
    return [worker.number, module, node, *units, _HOW[worker.how]]


def _pack(rows: list[list[int]], spans: list[list[_Merged]], unit: float) -> str:
    value = {"workers": rows, "spans": [_numbers(own, unit) for own in spans]}
    return b64encode(zlib.compress(json.dumps(value, separators=(",", ":")).encode(), 6)).decode()


def _numbers(spans: list[_Merged], unit: float) -> list[int]:
    """Return spans as a flat list of numbers, see `Timeline`."""
    numbers: list[int] = []
    reached = 0
    for begin, end, function, calls, failed, busy, text, cancelled in spans:
        first = round(begin / unit)
        length = max(1, round((end - begin) / unit))
        share = min(100, round(100 * busy / (end - begin))) if end > begin else 100
        numbers += (first - reached, length, function, calls, failed, share, text, cancelled)
        reached = first + length
    return numbers


def _prepared(worker: WorkerLife, functions: dict[str, int], texts: dict[tuple[str, str], int]) -> list[_Merged]:
    """Return the spans of a worker with numbers in place of names."""
    spans: list[_Merged] = []
    for span in worker.spans:
        begin, end, share = extent(span)
        text = texts.get((span.call, span.reason), -1) if span.call else -1
        busy = (end - begin) * share
        spans.append((begin, end, functions[span.function], span.calls, span.failed, busy, text, span.cancelled))
    if worker.talks:
        spans += [(begin, end, _TALK, messages, 0, end - begin, -1, 0) for _, begin, end, messages in worker.talks]
        spans.sort(key=itemgetter(0, 1))
    return spans


def _merged(spans: list[_Merged], step: float) -> list[_Merged]:
    """Return spans of which those that are together no longer than a step have become one."""
    merged: list[_Merged] = []
    last: _Merged | None = None
    for span in spans:
        if last is None or span[1] - last[0] > step:
            if last is not None:
                merged.append(last)
            last = span
            continue
        main, other = (span, last) if span[5] > last[5] else (last, span)
        if _TALK in (main[2], other[2]) and main[2] != other[2]:  # what is left of the two is the call
            call = other if main[2] == _TALK else main
            last = (last[0], max(last[1], span[1]), *call[2:])
            continue
        text = max(span[6], last[6]) if bool(span[4]) == bool(last[4]) else (span if span[4] else last)[6]
        calls, failed, busy, cancelled = (last[field] + span[field] for field in (3, 4, 5, 7))
        last = (last[0], max(last[1], span[1]), main[2], int(calls), int(failed), busy, text, int(cancelled))
    if last is not None:
        merged.append(last)
    return merged
