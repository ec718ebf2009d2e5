"""The JSON of events: what is written is read again, and nothing else is."""

import json
from math import inf, nan
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aioparcs.events import (
    Action,
    CallSpan,
    CallSpans,
    CallsRunning,
    ChannelSample,
    ChannelSamples,
    Event,
    LogLines,
    ModuleState,
    Notice,
    Packed,
    PeerChange,
    PeersChanged,
    PoolProgress,
    PoolRecord,
    PoolState,
    ProgramEnding,
    ProgramStarted,
    RunningCall,
    Snapshot,
    StatusLine,
    Use,
    WorkerConnected,
    WorkerExited,
    WorkerProgress,
    WorkersPlaced,
    WorkersRequested,
    WorkerStopped,
    WorkersWaiting,
    WorkerUsage,
)
from aioparcs.events.codec import from_json, to_json

POOL = PoolState(0, "divisors", 5, 1, None, 2, 3, 3)
MODULE = ModuleState("factor", 8, 7, 1, 0, 0, True, 0.25, {"node1": 4, "node2": 4})
SNAPSHOT = Snapshot(3.5, (MODULE,), (PoolRecord(POOL, 3, 1.0, None), PoolRecord(POOL, 3, 1.0, 2.5)), 7, False)
CONNECTED = WorkerConnected(1.5, "factor", 3)
EVENTS = [
    WorkersRequested(0.0, "factor", range(8)),
    WorkersRequested(0.0, "factor", range(8), 3),
    WorkersPlaced(0.5, "factor", range(4, 8), "node1"),
    WorkersWaiting(1.0, "factor", 4, "its node is pulling the image"),
    CONNECTED,
    WorkerExited(2.0, "factor", 3, None),
    WorkerExited(2.0, "factor", 4, "was killed by SIGKILL"),
    WorkerStopped(2.0, "factor", 5),
    WorkerProgress(2.5, "factor", 6, -1.5, 10.0),
    PoolProgress(2.5, POOL),
    LogLines(2.5, "factor", ((0, "one\n\x1b[31m é \u2028"), (None, "two"))),
    Notice(3.0, "swarm", "trying again", True),
    ProgramEnding(3.0, "ValueError: no"),
    ProgramStarted(3.0, 1.7e9, "job/main.py", {"Python": "3.11"}),
    ProgramStarted(3.0, 1.7e9, "job/main.py", {}, False),
    CallSpans(
        3.5,
        0,
        (CallSpan(3, "f", 1.0, 2.5, 0.5, 7, 1, "", ""), CallSpan(4, "", 1.0, 2.5, 1.5, 1, 1, "item 1: (3)", "no")),
    ),
    ChannelSamples(3.5, (ChannelSample(3, 5, 6, 500, 600, 7, 8), ChannelSample(4, 0, 0, 0, 0, 0))),
    CallsRunning(3.5, 0, (RunningCall(3, "f", "item 1: (3)", 1.5), RunningCall(4, "", "call: ()", 2.25))),
    Action(3.5, "worker 3 was killed by aioparcs ui"),
    PeersChanged(3.5, (PeerChange(3, 4, True), PeerChange(4, 3, False))),
    WorkerUsage(3.5, (Use(3, 0.95, 50 << 20), Use(4, 0.0, 0))),
    Packed(3.5, "eJw=", 7),
    SNAPSHOT,
    StatusLine(4.0, "factor: 8 of 8 connected"),
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_an_event_is_one_line_of_json_and_back(event: Event) -> None:
    line = to_json(event)
    assert "\n" not in line
    read = from_json(line)
    assert (type(read), read) == (type(event), event)  # as tuples, events of two classes may be equal
    values = json.loads(line)
    assert (values["v"], values["kind"], values["time"]) == (1, type(event).__name__, event.time)


def test_kinds_versions_and_fields_that_a_reader_does_not_know_are_ignored() -> None:
    known = json.loads(to_json(CONNECTED))
    assert from_json(json.dumps(known | {"color": "red"})) == CONNECTED
    assert from_json(json.dumps(known | {"kind": "WorkerPainted"})) is None
    assert from_json(json.dumps(known | {"v": 2})) is None


def test_fields_that_an_older_version_did_not_have_get_their_defaults() -> None:
    line = json.loads(to_json(WorkersRequested(0.0, "factor", range(8), 3)))
    del line["parent"]
    assert from_json(json.dumps(line)) == WorkersRequested(0.0, "factor", range(8))
    del line["module"]
    assert from_json(json.dumps(line)) is None


@pytest.mark.parametrize("number", [nan, inf, -inf, 10**400, 1e300])
def test_numbers_that_json_may_not_have_become_null(number: float) -> None:
    line = to_json(WorkerProgress(1.0, "factor", 0, number, 1.0))
    assert json.loads(line)["done"] is None
    assert from_json(line) is None
    assert from_json(to_json(PoolProgress(1.0, POOL._replace(total=10**400)))) == PoolProgress(1.0, POOL)


def with_part(path: str, value: Any) -> Event | None:
    """Read a snapshot of which one part is another."""
    values: Any = json.loads(to_json(SNAPSHOT))
    *way, last = [int(step) if step.isdecimal() else step for step in path.split(".")]
    part = values
    for step in way:
        part = part[step]
    part[last] = value
    return from_json(json.dumps(values))


@pytest.mark.parametrize("path", ["time", "modules", "modules.0", "modules.0.requested", "modules.0.fraction",
                                  "modules.0.nodes", "modules.0.nodes.node1", "modules.0.reports", "pools",
                                  "pools.0.state", "pools.0.begun", "earlier", "is_over"])  # fmt: skip
def test_a_snapshot_with_a_part_of_another_type_is_no_event(path: str) -> None:
    wrong: tuple[Any, ...] = (None, "x", [[]], {"a": "b"}, {})
    read = [value for value in wrong if with_part(path, value) is not None]
    assert read == ([{}] if path == "modules.0.nodes" else [])


@pytest.mark.parametrize("path", ["modules.0.up", "modules.0.nodes.node1", "pools.0.state.total", "earlier"])
def test_a_snapshot_with_an_impossible_count_is_no_event(path: str) -> None:
    assert with_part(path, 5) is not None
    assert [value for value in (-1, 1.5, True, 1 << 60) if with_part(path, value) is not None] == []


KEYS = st.sampled_from(["v", "kind", "time", "module"]) | st.text()
SCALARS = st.none() | st.integers() | st.floats() | st.text()
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner))


@pytest.mark.slow
@given(st.text() | VALUES.map(json.dumps))
def test_anything_else_is_no_event(line: str) -> None:
    assert from_json(line) is None


def test_a_record_of_an_older_version_has_fewer_fields() -> None:
    line = json.loads(to_json(PoolProgress(2.5, POOL)))
    for name in ("waits", "is_open", "repeats"):
        del line["state"][name]
        assert from_json(json.dumps(line)) == PoolProgress(2.5, POOL)
    del line["state"]["wanted"]
    assert from_json(json.dumps(line)) is None


def test_deep_and_endless_json_is_no_event() -> None:
    assert from_json("[" * 1_000_000) is None
    assert from_json('{"v":' * 100_000) is None
    assert from_json(f'{{"v": {"9" * 10_000}}}') is None
