"""The live view of a job: its numbers, its bounds, and messages that say what has changed."""

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aioparcs.events import (
    CallSpan,
    CallSpans,
    CallsRunning,
    Event,
    LogLines,
    ModuleState,
    Notice,
    PoolProgress,
    PoolRecord,
    PoolState,
    ProgramEnding,
    RunningCall,
    Snapshot,
    StackSample,
    StatusLine,
    WorkerConnected,
    WorkerExited,
    WorkerProgress,
    WorkersPlaced,
    WorkersRequested,
    WorkerStopped,
    WorkersWaiting,
)
from aioparcs.monitor import JobStream, LiveJob
from aioparcs.monitor.control import ControlError
from aioparcs.monitor.records import Message
from aioparcs.monitor.stacks import logged_stack
from aioparcs.recording.history import history_of
from aioparcs.recording.summary import summarize
from tests.support.live_client import LiveClient
from tests.support.recordings import recording, started
from tests.support.strategies import property_test

BEGIN = started().time


def job(*events: Event, running: bool = True) -> LiveJob:
    """Return the view of a job after some events."""
    made = LiveJob("render-1a2b3c")
    made.is_running = running
    for event in (started(), *events):
        made.apply(event)
    return made


def whole(made: LiveJob) -> Message:
    """Return the first message about a job."""
    message = JobStream(made).next()
    assert message is not None
    return message


def span(
    worker: int, begin: float, end: float, calls: int = 1, failed: int = 0, call: str = "", error: str = ""
) -> Event:
    one = CallSpan(worker, "main:work", BEGIN + begin, BEGIN + end, end - begin, calls, failed, call, error)
    return CallSpans(BEGIN + end, 0, (one,))


def test_the_numbers_are_those_of_a_report() -> None:
    made = recording(8, 100, nodes=2)
    summary, view = summarize(history_of(made)), job(*made.events)
    message = whole(view)
    overview = message["overview"]
    assert overview["workers"] == {"requested": 8, "up": 0, "done": 0, "lost": 1, "stopped": 0}
    assert overview["items"] == {"done": 800, "total": 800, "failed": 16, "running": 0}
    assert (overview["calls"], overview["failedCalls"]) == (800, 16)
    assert overview["utilisation"] == pytest.approx(summary.utilisation, abs=0.02)
    assert overview["state"] == "done"
    assert overview["program"] == "render/main.py"
    assert overview["seconds"] == pytest.approx(summary.duration, abs=0.001)
    functions = {one["name"]: one for one in message["functions"]}
    for function in summary.functions:
        row = functions[function.name]
        assert (row["calls"], row["failed"]) == (function.calls, function.failed)
        assert (row["busy"], row["longest"]) == pytest.approx((function.busy, function.longest), abs=0.001)
    nodes = [(one["node"], one["workers"], one["lost"], one["calls"]) for one in message["nodes"]]
    assert nodes == [("node1", 4, 1, 400), ("node2", 4, 0, 400)]
    assert sum(row["calls"] for row in message["workers"]) == sum(row[5] for row in message["spans"]) == 800
    times = [0.0, *(row[0] for row in message["series"])]
    lengths = [time - before for before, time in pairwise(times)]
    assert sum(row[3] * length for row, length in zip(message["series"], lengths, strict=True)) == pytest.approx(
        800, rel=0.001
    )
    assert len(message["slowest"]) == 50
    assert [row[0] for row in message["slowest"]] == sorted((row[0] for row in message["slowest"]), reverse=True)
    assert [row[3].split(":")[0] for row in message["failures"]] == ["ValueError"] * 16


@pytest.mark.parametrize(
    "ends, running, state",
    [([], True, "running"), ([], False, "killed"), ([ProgramEnding(BEGIN + 1, "")], True, "done"),
     ([ProgramEnding(BEGIN + 1, "stopped by SIGINT")], True, "stopped"),
     ([ProgramEnding(BEGIN + 1, "no"), ProgramEnding(BEGIN + 2, "")], False, "failed")],
)  # fmt: skip
def test_the_state_of_a_job(ends: list[Event], running: bool, state: str) -> None:
    assert job(*ends, running=running).row()["state"] == state


def test_stacks_of_a_job_on_the_swarm_are_those_of_its_log() -> None:
    here = job(StackSample(BEGIN + 3, 0, "x"))
    with pytest.raises(ControlError, match="where it runs"):
        logged_stack(here, 0)
    view = job(WorkersRequested(BEGIN, "render", range(200)))
    view.apply(started()._replace(versions={"engine": "swarm", "job": "1a2b3c"}))
    for number in (*range(150), 7):
        view.apply(StackSample(BEGIN + 3, number, f"in call {number}"))
    view.apply(StackSample(BEGIN + 4, None, "in main"))
    view.advance(9.0)
    assert logged_stack(view, 7) == "6 s ago, as the log of its runner has it:\nin call 7"
    assert logged_stack(view, None) == "5 s ago, as the log of its runner has it:\nin main"
    view.apply(WorkerExited(BEGIN + 9, "render", 7, None))
    for gone in (7, 40):
        with pytest.raises(ControlError, match=f"no stack of worker {gone}"):
            logged_stack(view, gone)


def test_nothing_of_a_job_whose_runner_was_killed_is_alive() -> None:
    state = PoolState(0, "f", 50, 2, 100, 3, 3, 3, waits="waits for its rate limit")
    view = job(
        WorkersRequested(BEGIN + 1, "f", range(3)), *(WorkerConnected(BEGIN + 2, "f", number) for number in range(3)),
        WorkerExited(BEGIN + 3, "f", 2, None), PoolProgress(BEGIN + 5, state), span(0, 4.0, 5.0), running=False,
    )  # fmt: skip
    view.lose()
    message = whole(view)
    overview, (pool,) = message["overview"], message["pools"]
    assert overview["state"] == "killed"
    assert overview["workers"] == {"requested": 3, "up": 0, "done": 1, "lost": 0, "stopped": 0}
    assert overview["items"] == {"done": 50, "total": 100, "failed": 2, "running": 0}
    assert [(row["state"], row["current"]) for row in message["workers"]] == [("unknown", None)] * 2 + [("done", None)]
    assert (pool["running"], pool["left"], pool["waits"], pool["ended"]) == (0, None, "", 5.0)
    assert (message["modules"][0]["up"], message["explain"]) == (0, [])


def test_the_states_of_workers() -> None:
    events: list[Event] = [
        WorkersRequested(BEGIN + 1, "f", range(5)),
        *(WorkerConnected(BEGIN + 2, "f", number) for number in range(1, 5)),
        WorkerExited(BEGIN + 3, "f", 2, None),
        WorkerExited(BEGIN + 3, "f", 3, "was killed by SIGKILL"),
        WorkerStopped(BEGIN + 3, "f", 4),
    ]
    view = job(*events)
    rows = whole(view)["workers"]
    assert [row["state"] for row in rows] == ["starting", "waiting", "done", "lost", "stopped"]
    assert [row["reason"] for row in rows][2:4] == ["", "was killed by SIGKILL"]
    assert (rows[3]["requested"], rows[3]["connected"], rows[3]["ended"]) == (1.0, 2.0, 3.0)
    view.apply(span(1, 3.0, 4.0))
    assert whole(view)["workers"][1]["state"] == "calling"
    view.advance(6.0)
    assert whole(view)["workers"][1]["state"] == "waiting"


def test_a_job_whose_calls_are_not_recorded_claims_nothing_about_them() -> None:
    view = LiveJob("render-1a2b3c")
    view.is_running = True
    state = PoolState(0, "f", 50, 2, 100, 3, 3, 3)
    slow = RunningCall(1, "main:work", "item 4: (4)", BEGIN + 3)
    events: list[Event] = [
        started()._replace(has_calls=False), WorkersRequested(BEGIN + 1, "f", range(3)),
        *(WorkerConnected(BEGIN + 2, "f", number) for number in range(3)), PoolProgress(BEGIN + 5, state),
        CallsRunning(BEGIN + 5, 0, (slow,)),
    ]  # fmt: skip
    for event in events:
        view.apply(event)
    view.advance(6.0)
    message = whole(view)
    overview = message["overview"]
    assert (overview["hasCalls"], overview["utilisation"]) == (False, None)
    assert overview["items"] == {"done": 50, "total": 100, "failed": 2, "running": 3}
    assert [row["state"] for row in message["workers"]] == ["connected", "calling", "connected"]
    assert message["series"][-1][1:3] == [3, 3]
    assert message["series"][0] == [0.0] * 8, "charts begin with the job"
    view.apply(CallsRunning(BEGIN + 7, 0, ()))
    assert [row["state"] for row in whole(view)["workers"]] == ["connected"] * 3
    view.apply(span(1, 7.0, 7.5))  # a recording has asked for them
    assert [row["state"] for row in whole(view)["workers"]] == ["waiting", "calling", "waiting"]
    assert whole(view)["overview"]["hasCalls"]


def test_a_message_has_what_has_changed_and_nothing_else() -> None:
    view = job(WorkersRequested(BEGIN, "f", range(500)), *(WorkerConnected(BEGIN + 1, "f", one) for one in range(500)))
    stream = JobStream(view)
    first = stream.next()
    assert first is not None
    assert first["reset"]
    assert len(first["workers"]) == 500
    assert stream.next() is None
    view.advance(1.5)
    assert stream.next() is None
    view.apply(span(7, 1.0, 1.6, call="work(3)", error="ValueError: 3", failed=1))
    view.apply(LogLines(BEGIN + 1.7, "f", ((7, "one line"),)))
    second = stream.next()
    assert second is not None
    assert not second["reset"]
    assert [row["number"] for row in second["workers"]] == [7]
    assert second["spans"] == [[7, 0, 1.0, 1.6, 0.6, 1, 1, "work(3)", "ValueError: 3", 0]]
    assert second["failures"] == [[1.6, "work", "work(3)", "ValueError: 3", 7, ""]]
    assert second["log"] == [[0, 1.7, "f", 7, "one line", 0]]
    assert "modules" not in second
    assert "series" not in second


def test_cancelled_and_lost_calls_say_so_and_only_lost_ones_have_failed() -> None:
    view = job(WorkersRequested(BEGIN, "f", range(2)), *(WorkerConnected(BEGIN + 1, "f", one) for one in range(2)))
    one = CallSpan(0, "work", BEGIN + 1, BEGIN + 3, 2.0, 1, 0, "work(3)", "by top", cancelled=1)
    view.apply(
        CallSpans(BEGIN + 3, 0, (one, one._replace(worker=1, failed=1, cancelled=0, error="was killed", lost=1)))
    )
    message = whole(view)
    assert [row[5:] for row in message["spans"]] == [
        [1, 0, "work(3)", "cancelled: by top", 1],
        [1, 1, "work(3)", "lost: was killed", 0],
    ]
    assert [row[3] for row in message["failures"]] == ["lost: was killed"]
    assert [row[2] for row in message["slowest"]] == ["work(3), cancelled", "work(3)"]
    (function,) = message["functions"]
    assert (function["calls"], function["failed"], function["cancelled"]) == (2, 1, 1)


def test_a_job_on_a_swarm_is_known_from_snapshots() -> None:
    module = ModuleState("factor", 8, 6, 1, 1, 0, True, 0.5, {"node1": 4, "node2": 2}, "1 worker waits: for a node")
    state = PoolState(0, "factor", 50, 2, 100, 6, 6, 8)
    view = job(
        Snapshot(BEGIN + 10, (module,), (PoolRecord(state, 6, BEGIN + 5, None),), 0, False),
        StatusLine(BEGIN + 10, "factor: 6 of 8 connected"),
    )
    message = whole(view)
    assert message["overview"]["workers"] == {"requested": 8, "up": 6, "done": 1, "lost": 1, "stopped": 0}
    assert message["overview"]["items"] == {"done": 50, "total": 100, "failed": 2, "running": 6}
    assert message["overview"]["rate"] == 10.0
    assert message["overview"]["left"] == 5.0
    assert message["modules"][0]["fraction"] == 0.5
    assert [(one["node"], one["up"]) for one in message["nodes"]] == [("node1", 4), ("node2", 2)]
    assert message["pools"][0]["begun"] == 5.0
    assert message["workers"] == []
    assert message["explain"][0]["text"] == "1 worker waits: for a node"
    assert message["log"] == [[0, 10.0, "runner", None, "factor: 6 of 8 connected", 1]]
    view.advance(12.0)
    assert whole(view)["series"][-1][1:3] == [6, 6]


@pytest.mark.parametrize("is_submitted", [False, True], ids=["500 workers", "20 of a runner on a Swarm"])
def test_workers_whose_calls_are_reported_rarely_are_in_calls_all_the_time(is_submitted: bool) -> None:
    workers = range(20 if is_submitted else 500)
    view = LiveJob("f-1a2b3c")
    view.apply(started()._replace(versions={"job": "1a2b3c4d"} if is_submitted else {}))
    view.apply(WorkersRequested(BEGIN, "f", workers))
    for number in workers:
        view.apply(WorkerConnected(BEGIN, "f", number))
    late = 4.0 if is_submitted else 0.0  # so much later than it was written a log is read
    for second in range(2, 21):
        view.advance(second - 0.1 + late)
        if second % 2 == 0:  # as many spans come every two seconds
            time = BEGIN + second
            spans = tuple(CallSpan(number, "f", time - 2, time - 0.3, 1.7, 10, 0, "", "") for number in workers)
            view.apply(CallSpans(time, 0, spans[:450]))  # one has no more than a few hundred
            view.apply(CallSpans(time, 0, spans[450:]))
    rows = whole(view)["series"]
    rate = 5 * len(workers)
    first = 3 + int(late)
    assert [row[2] for row in rows[first:]] == [len(workers)] * len(rows[first:])
    assert all(row[3] == pytest.approx(rate, rel=0.4) for row in rows[first + 2 :])
    view.apply(ProgramEnding(BEGIN + 20.9 + late, ""))
    rows = whole(view)["series"]
    lengths = [time - before for (before, *_), (time, *_) in pairwise(rows)]
    assert sum(row[3] * length for row, length in zip(rows[1:], lengths, strict=True)) == pytest.approx(20 * rate)
    assert max(row[3] for row in rows) < 2 * rate, "what is left is no peak"


def test_a_job_of_less_than_a_second_has_a_course() -> None:
    rows = whole(job(span(0, 0.1, 0.2), ProgramEnding(BEGIN + 0.5, "")))["series"]
    assert [row[0] for row in rows] == [0.0, 0.5]


@pytest.mark.slow
def test_what_is_kept_is_bounded() -> None:
    view = job()
    stream, client = JobStream(view), LiveClient()
    largest = 0
    for group in range(25):
        numbers = range(group * 200, group * 200 + 200)
        at = BEGIN + group * 40
        view.apply(WorkersRequested(at, "f", numbers))
        for number in numbers:
            view.apply(WorkerConnected(at, "f", number))
            for turn in range(10):
                view.apply(span(number, at - BEGIN + turn, at - BEGIN + turn + 0.5, call=f"work({turn})"))
            view.apply(WorkerExited(at + 12, "f", number, None))
        view.apply(LogLines(at + 13, "f", tuple((number, "x" * 10_000) for number in numbers)))
        client.apply(stream.next())
        largest = max(largest, len(json.dumps(client.known)))
    message = whole(view)
    assert len(message["workers"]) <= 4200
    assert len(message["spans"]) <= 20_000
    assert len(message["log"]) == 2000
    assert len(message["series"]) <= 600
    assert message["overview"]["workers"]["requested"] == message["overview"]["workers"]["done"] == 5000
    assert message["overview"]["calls"] == 50_000
    assert message["nodes"][0]["calls"] == 50_000
    assert message["nodes"][0]["workers"] == 5000
    assert message["overview"]["utilisation"] == pytest.approx(5 / 12, abs=0.02)
    assert largest < 16 << 20
    check_equal(client, view)


@pytest.mark.slow
def test_spans_are_merged_and_keep_their_sums() -> None:
    workers = 10
    view = job(WorkersRequested(BEGIN, "f", range(workers)))
    for turn in range(2500):
        for worker in range(workers):
            view.apply(span(worker, turn / 10, turn / 10 + 0.05, call="c", failed=turn % 2, error="no" * (turn % 2)))
    spans = whole(view)["spans"]
    assert len(spans) <= 20_000
    assert sum(row[5] for row in spans) == 2500 * workers
    assert sum(row[6] for row in spans) == 1250 * workers
    assert sum(row[4] for row in spans) == pytest.approx(2500 * workers * 0.05, rel=0.01)
    assert max(row[3] for row in spans) == pytest.approx(249.95)
    assert {row[7] for row in spans} == {"c"}


def check_equal(client: LiveClient, view: LiveJob) -> None:
    """Fail unless a reader of all messages knows what one knows that comes now."""
    fresh = LiveClient()
    fresh.apply(whole(view))
    assert client.known.keys() == fresh.known.keys()
    for key, part in fresh.known.items():
        ours: Any = client.known[key]
        if key == "overview":
            ours = {**ours, "seconds": part["seconds"]}
        assert ours == part, key


_times = st.floats(0, 2000)
_numbers = st.integers(0, 6)
_names = st.sampled_from(["f", "g"])
_states = st.builds(
    PoolState, st.integers(0, 3), _names, st.integers(0, 50), st.integers(0, 5), st.none() | st.integers(0, 50),
    st.integers(0, 5), st.integers(0, 5), st.integers(0, 5),
)  # fmt: skip
_spans = st.builds(
    lambda worker, begin, length, calls, failed, error: CallSpan(
        worker, "m:work", begin, begin + length, length, calls, failed, "work(1)", error
    ),
    _numbers, st.floats(BEGIN, BEGIN + 2000), st.floats(0, 5), st.integers(1, 3), st.integers(0, 1),
    st.sampled_from(["", "no"]),
)  # fmt: skip
_modules = st.builds(
    ModuleState, _names, _numbers, _numbers, _numbers, _numbers, _numbers, st.booleans(), st.floats(0, 1),
    st.dictionaries(_names, _numbers),
)  # fmt: skip
_events = st.one_of(
    st.builds(lambda time, name, first, count: WorkersRequested(time, name, range(first, first + count)),
              _times, _names, _numbers, _numbers),
    st.builds(lambda time, name, first: WorkersPlaced(time, name, range(first, first + 1), name), _times, _names,
              _numbers),
    st.builds(WorkersWaiting, _times, _names, _numbers, _names),
    st.builds(WorkerConnected, _times, _names, _numbers),
    st.builds(WorkerExited, _times, _names, _numbers, st.none() | _names),
    st.builds(WorkerStopped, _times, _names, _numbers),
    st.builds(WorkerProgress, _times, _names, _numbers, st.floats(), st.floats()),
    st.builds(PoolProgress, _times, _states),
    st.builds(CallSpans, _times, st.just(0), st.lists(_spans, max_size=5).map(tuple)),
    st.builds(LogLines, _times, _names, st.lists(st.tuples(st.none() | _numbers, st.text(max_size=5))).map(tuple)),
    st.builds(Notice, _times, _names, _names, st.booleans()),
    st.builds(Snapshot, _times, st.lists(_modules, max_size=2).map(tuple), st.just(()), st.just(0), st.booleans()),
    st.builds(ProgramEnding, _times, st.sampled_from(["", "no"])),
)  # fmt: skip


@pytest.mark.slow
@property_test
@given(st.lists(st.tuples(_events, st.booleans()), max_size=40))
def test_a_reader_of_changes_knows_what_one_knows_that_comes_later(script: list[tuple[Event, bool]]) -> None:
    view = job()
    stream, client = JobStream(view), LiveClient()
    for event, is_read in script:
        view.apply(event)
        view.advance(view.now + 0.5)
        if is_read:
            client.apply(stream.next())
    client.apply(stream.next())
    check_equal(client, view)
