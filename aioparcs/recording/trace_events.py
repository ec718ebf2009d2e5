"""
The Chrome Trace Event format, which Perfetto and chrome://tracing open: a process for each module on a node, a thread
for each worker.
"""

from __future__ import annotations

from collections.abc import Iterator
from operator import itemgetter
from typing import Any

from aioparcs.events import CallSpan, PoolProgress
from aioparcs.recording.history import History, WorkerLife, history_of
from aioparcs.recording.reader import Recording

__all__ = ["trace_events"]

_PROGRAM = 0  # the process that stands for the program itself: its pools and notices


def trace_events(recording: Recording) -> dict[str, Any]:
    """
    Return the object of a trace; its times are microseconds since the program began.

    Calls that a worker runs at once overlap, which the format does not allow in a thread: they are asynchronous events.
    """
    history = history_of(recording)
    events = [_name("process_name", _PROGRAM, recording.started.program)]
    processes: dict[tuple[str, str], int] = {}
    for worker in history.workers.values():
        place = (worker.module, worker.node)
        if place not in processes:
            processes[place] = len(processes) + 1
            title = f"{worker.module} on {worker.node}" if worker.node else worker.module
            events.append(_name("process_name", processes[place], title))
        events += _worker(worker, processes[place], history.duration)
    events += _counters(recording)
    events += _notices(history)
    return {"traceEvents": events, "displayTimeUnit": "ms", "otherData": dict(recording.started.versions)}


def _worker(worker: WorkerLife, process: int, duration: float) -> Iterator[dict[str, Any]]:
    thread = worker.number + 1  # 0 is no thread
    place = {"pid": process, "tid": thread}
    yield {**_name("thread_name", process, worker.name), "tid": thread}
    yield {"name": "thread_sort_index", "ph": "M", **place, "args": {"sort_index": worker.number}}
    if worker.connected is not None:
        yield {"name": "starting", "cat": "worker", "ph": "X", **place, **_times(worker.requested, worker.connected)}
    yield from sorted((*_talks(worker, place), *_calls(worker, place)), key=itemgetter("ts"))
    if worker.how:
        end = duration if worker.ended is None else worker.ended
        event = {"name": worker.how, "cat": "worker", "ph": "i", "s": "t", **place, "ts": _micros(end)}
        yield event | ({"args": {"reason": worker.reason}} if worker.reason else {})


def _calls(worker: WorkerLife, place: dict[str, int]) -> Iterator[dict[str, Any]]:
    reached = worker.connected or 0.0
    for number, span in enumerate(worker.spans):
        if span.begin >= reached - 1e-6:
            begin, end = max(reached, span.begin), max(reached, span.end)
            yield {**_call(span), "ph": "X", **place, **_times(begin, end)}
            reached = end
        else:
            identity = {"id": f"{worker.number}.{number}", **place}
            yield {**_call(span), "ph": "b", **identity, "ts": _micros(span.begin)}
            yield {"name": span.function, "cat": "call", "ph": "e", **identity, "ts": _micros(span.end)}


def _talks(worker: WorkerLife, place: dict[str, int]) -> Iterator[dict[str, Any]]:
    """Yield the times in which a worker talked, but not those of which it came out late that it was in a call."""
    calls = iter(worker.spans)
    call = next(calls, None)
    for _, begin, end, messages in worker.talks:
        while call is not None and call.end <= begin:
            call = next(calls, None)
        if call is None or call.begin >= end:
            yield {"name": "talking", "cat": "worker", "ph": "X", **place, **_times(begin, end),
                   "args": {"messages": messages}}  # fmt: skip


def _call(span: CallSpan) -> dict[str, Any]:
    counts = {"calls": span.calls, "failed": span.failed, "cancelled": span.cancelled, "lost": span.lost}
    details: dict[str, int | str] = {**counts, "call": span.call, "error": span.error}
    event: dict[str, Any] = {
        "name": span.function, "cat": "call", "args": {name: value for name, value in details.items() if value},
    }  # fmt: skip
    colour = "terrible" if span.failed else "grey" if span.cancelled else ""
    return event | ({"cname": colour} if colour else {})


def _counters(recording: Recording) -> Iterator[dict[str, Any]]:
    start = recording.started.time
    for event in recording.events:
        if isinstance(event, PoolProgress):
            state, time = event.state, _micros(max(0.0, event.time - start))
            for name, values in (
                ("items", {"done": state.done, "failed": state.failed}),
                ("workers", {"running": state.running, "workers": state.workers}),
            ):
                title = f"pool {state.name} {state.id}: {name}"
                yield {"name": title, "ph": "C", "pid": _PROGRAM, "ts": time, "args": values}


def _notices(history: History) -> Iterator[dict[str, Any]]:
    for line in history.log:
        if line.is_notice:
            yield {"name": line.text, "cat": "notice", "ph": "i", "s": "g", "pid": _PROGRAM, "tid": 1,
                   "ts": _micros(line.time)}  # fmt: skip


def _name(what: str, process: int, name: str) -> dict[str, Any]:
    return {"name": what, "ph": "M", "pid": process, "args": {"name": name}}


def _times(begin: float, end: float) -> dict[str, float]:
    return {"ts": _micros(begin), "dur": max(0.0, round(_micros(end) - _micros(begin), 1))}


def _micros(seconds: float) -> float:
    return round(seconds * 1e6, 1)
