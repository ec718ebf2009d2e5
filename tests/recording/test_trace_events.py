"""Traces in the Chrome Trace Event format, as Perfetto reads them."""

import json
from itertools import pairwise
from typing import Any

from aioparcs.events import CallSpan, CallSpans
from aioparcs.recording import Recording
from aioparcs.recording.history import history_of
from aioparcs.recording.trace_events import trace_events
from tests.support.recordings import recording
from tests.support.trace_format import check_trace


def of_phase(made: Recording, phase: str) -> list[dict[str, Any]]:
    content = json.loads(json.dumps(trace_events(made), allow_nan=False))
    check_trace(content)
    events = content["traceEvents"]
    return [event for event in events if event["ph"] == phase]


def test_each_call_is_an_event_of_its_workers_thread() -> None:
    made = recording(4, 50, nodes=2)
    calls = [event for event in of_phase(made, "X") if event["cat"] == "call"]
    assert len(calls) == 200
    threads: dict[tuple[int, int], list[tuple[float, float]]] = {}
    for call in calls:
        threads.setdefault((call["pid"], call["tid"]), []).append((call["ts"], call["dur"]))
    assert len(threads) == 4
    for times in threads.values():
        assert all(one[0] + one[1] <= other[0] + 0.3 for one, other in pairwise(sorted(times)))
    first = history_of(made).workers[0].spans[0]
    assert (calls[0]["ts"], calls[0]["name"]) == (round(first.begin * 1e6, 1), first.function)
    assert calls[0]["args"]["call"] == first.call
    assert sum("error" in call["args"] for call in calls) == 4


def test_processes_are_modules_on_nodes_and_pools_are_counters() -> None:
    made = recording(4, 50, nodes=2)
    names = {event["args"]["name"] for event in of_phase(made, "M") if event["name"] == "process_name"}
    assert names == {"render/main.py", "render on node1", "render on node2"}
    counters = [event for event in of_phase(made, "C") if event["name"] == "pool render 0: items"]
    assert [event["args"] for event in counters] == [{"done": 0, "failed": 0}, {"done": 200, "failed": 4}]
    (lost,) = [event for event in of_phase(made, "i") if event["name"] == "lost"]
    assert "SIGKILL" in lost["args"]["reason"]
    assert len([event for event in of_phase(made, "i") if event["cat"] == "notice"]) == 1


def test_cancelled_calls_are_grey_and_lost_ones_say_so() -> None:
    made = recording(1, 1, nodes=1)
    one = CallSpan(0, "wait", 103.0, 104.0, 1.0, 1, 0, "item 0", "by top", cancelled=1)
    lost = one._replace(begin=105.0, end=106.0, failed=1, error="was killed", cancelled=0, lost=1)
    made.events.insert(-1, CallSpans(106.0, 0, (one, lost)))
    calls = [event for event in of_phase(made, "X") if event["name"] == "wait"]
    assert [(event["cname"], event["args"]) for event in calls] == [
        ("grey", {"calls": 1, "cancelled": 1, "call": "item 0", "error": "by top"}),
        ("terrible", {"calls": 1, "failed": 1, "lost": 1, "call": "item 0", "error": "was killed"}),
    ]


def test_calls_that_overlap_are_asynchronous_events() -> None:
    made = recording(1, 1, nodes=1)
    spans = tuple(CallSpan(0, "wait", 103.0 + i / 10, 104.0, 1 - i / 10, 1, 0, f"item {i}", "") for i in range(3))
    made.events.insert(-1, CallSpans(104.0, 0, spans))
    assert [event["args"]["call"] for event in of_phase(made, "X") if event["name"] == "wait"] == ["item 0"]
    begun, ended = of_phase(made, "b"), of_phase(made, "e")
    assert [event["args"]["call"] for event in begun] == ["item 1", "item 2"]
    assert [event["id"] for event in begun] == [event["id"] for event in ended]
    assert len({event["id"] for event in begun}) == 2
