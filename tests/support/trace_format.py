"""
The Trace Event Format, as its document has it: what each phase of events must have, and may have.

The document is "Trace Event Format" of the Chromium project, which Perfetto reads by its page on external formats.
"""

from collections import defaultdict
from typing import Any

__all__ = ["check_trace"]

_Event = dict[str, Any]
# By phase: the keys that an event must have, besides its name, phase and process; and those that it may have.
_KEYS: dict[str, tuple[set[str], set[str]]] = {
    "X": ({"ts", "dur", "tid"}, {"cat", "args", "cname"}),  # complete
    "b": ({"ts", "id", "cat"}, {"tid", "args", "cname"}),  # asynchronous, its begin
    "e": ({"ts", "id", "cat"}, {"tid", "args", "cname"}),  # and its end
    "i": ({"ts"}, {"cat", "args", "cname", "s", "tid"}),  # instant
    "C": ({"ts", "args"}, {"cat", "id", "tid", "cname"}),  # counter
    "M": ({"args"}, {"tid", "cat", "ts"}),  # metadata
    "s": ({"ts", "id", "cat", "tid"}, {"args", "cname"}),  # flow, its begin
    "t": ({"ts", "id", "cat", "tid"}, {"args", "cname"}),  # its step
    "f": ({"ts", "id", "cat", "tid"}, {"args", "cname", "bp"}),  # and its end
}
_METADATA = {"process_name": "name", "thread_name": "name", "process_labels": "labels",
             "process_sort_index": "sort_index", "thread_sort_index": "sort_index"}  # fmt: skip
_COLOURS = {"good", "bad", "terrible", "grey"}
_SLACK = 0.3  # microseconds by which a rounded end may pass the next begin


def check_trace(content: Any) -> None:
    """Assert that the object of a file is a trace."""
    assert set(content) <= {
        "traceEvents",
        "displayTimeUnit",
        "otherData",
        "systemTraceEvents",
        "stackFrames",
        "samples",
    }
    assert content.get("displayTimeUnit", "ms") in ("ms", "ns")
    events: list[_Event] = content["traceEvents"]
    for event in events:
        _check_event(event)
    _check_threads(events)
    _check_pairs(events, "b", "e")
    _check_pairs(events, "s", "f")
    steps = {_identity(event) for event in events if event["ph"] == "t"}
    assert steps <= {_identity(event) for event in events if event["ph"] == "s"}
    named = {event["pid"] for event in events if event["ph"] == "M" and event["name"] == "process_name"}
    assert {event["pid"] for event in events} == named


def _check_event(event: _Event) -> None:
    phase = event["ph"]
    must, may = _KEYS[phase]
    keys = event.keys() - {"name", "ph", "pid"}
    assert event.keys() >= {"name", "ph", "pid"}, event
    assert must <= keys <= must | may, event
    assert type(event["name"]) is str, event
    assert type(event["pid"]) is int, event
    assert type(event.get("tid", 0)) is int, event
    assert type(event.get("cat", "")) is str, event
    assert type(event.get("args", {})) is dict, event
    assert type(event.get("id", "")) in (str, int), event
    assert event.get("cname", "bad") in _COLOURS, event
    for key in ("ts", "dur"):
        number = event.get(key, 0)
        assert type(number) in (int, float), event
        assert 0 <= number < float("inf"), event
    if phase == "i":
        assert event.get("s", "t") in ("g", "p", "t"), event
        assert event.get("s", "t") != "t" or "tid" in event, event
    if phase == "C":
        assert event["args"], event
        assert all(type(value) in (int, float) for value in event["args"].values()), event
    if phase == "M":
        wanted = _METADATA[event["name"]]
        assert type(event["args"][wanted]) is (int if wanted == "sort_index" else str), event
        assert event["name"].startswith("process") or "tid" in event, event


def _check_threads(events: list[_Event]) -> None:
    """Assert that the complete events of a thread are nested: none ends within another that it has begun before."""
    threads: defaultdict[tuple[int, int], list[tuple[float, float]]] = defaultdict(list)
    for event in events:
        if event["ph"] == "X":
            threads[event["pid"], event["tid"]].append((event["ts"], event["ts"] + event["dur"]))
    for spans in threads.values():
        begins = [begin for begin, _ in spans]
        assert begins == sorted(begins), "not required, but simpler to read for other programs"
        around: list[float] = []
        for begin, end in sorted(spans, key=lambda span: (span[0], -span[1])):
            while around and around[-1] <= begin + _SLACK:
                around.pop()
            assert not around or end <= around[-1] + _SLACK
            around.append(end)


def _check_pairs(events: list[_Event], begin: str, end: str) -> None:
    """Assert that each begin of an asynchronous event, or of a flow, has one end, which is no earlier."""
    begun, ended = (_by_identity(events, phase) for phase in (begin, end))
    assert begun.keys() == ended.keys()
    for identity, first in begun.items():
        last = ended[identity]
        assert first["name"] == last["name"]
        assert first["ts"] <= last["ts"]


def _by_identity(events: list[_Event], phase: str) -> dict[Any, _Event]:
    found = [event for event in events if event["ph"] == phase]
    made = {_identity(event): event for event in found}
    assert len(made) == len(found)
    return made


def _identity(event: _Event) -> tuple[Any, ...]:
    return event["cat"], event["id"]
