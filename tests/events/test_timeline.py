"""The timeline in a log: what happens to single workers comes through, and never takes more bytes than it may."""

import random
import secrets
import string
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aioparcs.display.view import JobView
from aioparcs.events import (
    CallSpan,
    CallSpans,
    CallsRunning,
    CallTraceback,
    ChannelSample,
    ChannelSamples,
    Event,
    Packed,
    PeerChange,
    PeersChanged,
    ProgramEnding,
    RunningCall,
    StackSample,
    Use,
    WorkerConnected,
    WorkerExited,
    WorkersPlaced,
    WorkersRequested,
    WorkerStopped,
    WorkerUsage,
)
from aioparcs.events.log import EventLog, EventLogReader
from aioparcs.events.packing import Packer, unpacked
from aioparcs.events.shifting import shifted
from aioparcs.events.timeline import TimelineLog
from tests.events.test_codec import EVENTS
from tests.support.strategies import property_test

WORD = "0123456789abcdef"
BEGUN = 1000.0  # when the display began, on the program's clock
RATE = 8 << 10


class Written:
    """
    What a log has got.

    Attributes:
        events: what was packed in it.
        sizes: the bytes of each line with such events.
        dropped: how many it says were dropped.
    """

    def __init__(self, capfd: pytest.CaptureFixture[str]) -> None:
        self.events: list[Event] = []
        self.sizes: list[int] = []
        self.dropped = 0
        self._capfd = capfd
        self._reader = EventLogReader(WORD)

    def read(self) -> int:
        """Read what is new; return its bytes."""
        lines = self._capfd.readouterr().err.split("\n")[:-1]
        for line in lines:
            event = self._reader.read(line, error=True)
            assert isinstance(event, Event)
            if isinstance(event, Packed):
                self.sizes.append(len(line))
                self.events += unpacked(event)
                self.dropped = event.dropped
        return sum(len(line.encode()) + 1 for line in lines)

    @property
    def spans(self) -> list[CallSpan]:
        return [span for event in self.events if isinstance(event, CallSpans) for span in event.spans]


def lives(workers: int, module: str = "render") -> list[Event]:
    """Return the begin of some workers on nodes with long names."""
    nodes = range(0, workers, 10)
    return [
        WorkersRequested(BEGUN + 0.5, module, range(workers)),
        *(
            WorkersPlaced(BEGUN + 1, module, range(node, node + 10), f"a-node-with-a-long-name-{node}")
            for node in nodes
        ),
        *(WorkerConnected(BEGUN + 1 + worker / 1000, module, worker) for worker in range(workers)),
    ]


def calls(rng: random.Random, workers: int, each: int, time: float) -> list[CallSpans]:
    """Return a second of calls: so many of each worker, with arguments of any text."""
    text = "".join(rng.choices(string.printable, k=100))
    made = [
        CallSpan(
            worker, "draw", time + number / each, time + (number + 1) / each, 1 / each, 1, 0, f"{text}{number}", ""
        )
        for worker in range(workers)
        for number in range(each)
    ]
    return [CallSpans(time + 1, 0, tuple(made[first : first + 500])) for first in range(0, len(made), 500)]


def test_what_happens_to_workers_comes_through_with_times_since_the_display_began(
    capfd: pytest.CaptureFixture[str],
) -> None:
    written, timeline = Written(capfd), TimelineLog(EventLog(WORD), BEGUN)
    span = CallSpan(3, "draw", BEGUN + 1.0, BEGUN + 2.0, 1.0, 1, 0, "item 7: (3)", "")
    sample, use, change = ChannelSample(3, 1, 2, 3, 4, 5, 6), Use(3, 0.5, 1 << 20), PeerChange(3, 4, True)
    events: list[Event] = [
        *lives(20),
        WorkerExited(BEGUN + 3, "render", 3, "was killed"),
        WorkerStopped(BEGUN + 3, "render", 4),
        PeersChanged(BEGUN + 3, (change,)),
        CallsRunning(BEGUN + 3, 0, (RunningCall(3, "draw", "item 8", BEGUN + 2.5),)),
        StackSample(BEGUN + 3, 3, '  File "main.py", line 7 in draw'),
        StackSample(BEGUN + 3, None, ""),
        CallSpans(BEGUN + 3, 0, (span,)),
        WorkerUsage(BEGUN + 3, (use,)),
        ChannelSamples(BEGUN + 3, (sample,)),
    ]
    for event in events:
        timeline(event)
    timeline.write(3.0)
    written.read()
    assert written.events == [shifted(event, -BEGUN) for event in events]
    assert written.events[0].time == 0.5
    assert written.spans == [span._replace(begin=1.0, end=2.0)]
    assert written.dropped == 0


def test_a_long_stack_is_cut_behind_its_first_lines(capfd: pytest.CaptureFixture[str]) -> None:
    written, timeline = Written(capfd), TimelineLog(EventLog(WORD), BEGUN)
    frames = [f'  File "{number}{secrets.token_hex(20)}.py", line 7 in draw' for number in range(1000)]
    timeline(StackSample(BEGUN + 3, 3, "\n".join(frames)))
    timeline.write(3.0)
    written.read()
    (sample,) = written.events
    assert isinstance(sample, StackSample)
    *kept, end = sample.text.split("\n")
    assert (kept, end) == (frames[: len(kept)], "...")
    assert len(kept) > 50


def test_a_line_is_written_once_a_second_and_none_without_news(capfd: pytest.CaptureFixture[str]) -> None:
    written, timeline = Written(capfd), TimelineLog(EventLog(WORD), BEGUN)
    for quarter in range(40):
        if quarter < 20:
            timeline(WorkerConnected(BEGUN + quarter / 4, "render", quarter))
        timeline.write(quarter / 4)
    written.read()
    assert len(written.sizes) == 6
    assert len(written.events) == 20


@pytest.mark.slow
def test_1000_workers_and_their_calls_take_no_more_bytes_than_a_log_may_have(capfd: pytest.CaptureFixture[str]) -> None:
    log, view, rng = EventLog(WORD), JobView(), random.Random(7)
    written, timeline = Written(capfd), TimelineLog(log, BEGUN)
    begin = lives(1000)
    for event in begin:
        view.apply(event)
        timeline(event)
    sizes = []
    for second in range(30):
        for spans in calls(rng, 1000, 4, BEGUN + second):
            timeline(spans)
        timeline(
            WorkerUsage(BEGUN + second, tuple(Use(worker, rng.random(), rng.getrandbits(34)) for worker in range(1000)))
        )
        log.write_snapshot(view.snapshot(BEGUN + second, BEGUN))
        timeline.write(float(second))
        sizes.append(written.read())
    assert max(written.sizes) <= RATE
    assert sum(sizes) <= 31 * RATE
    assert all(sum(sizes[first : first + 5]) <= 6 * RATE for first in range(26))
    there = {type(event) for event in written.events}
    assert {WorkerConnected, WorkersPlaced, CallSpans} <= there
    assert sum(isinstance(event, WorkerConnected) for event in written.events) == 1000
    timeline.close(30.0)
    assert written.read() <= 4 * RATE


def test_calls_that_have_no_room_are_merged_and_none_is_lost(capfd: pytest.CaptureFixture[str]) -> None:
    rng, made = random.Random(7), Counter[int]()
    written, timeline = Written(capfd), TimelineLog(EventLog(WORD), BEGUN)
    for second in range(60):
        for spans in calls(rng, 300, 4, BEGUN + second) if second < 10 else []:
            timeline(spans)
            made.update(span.worker for span in spans.spans)
        timeline.write(float(second))
    written.read()
    reported: Counter[int] = Counter()
    for span in written.spans:
        reported[span.worker] += span.calls
        assert span.busy == pytest.approx(span.end - span.begin, abs=0.01)
    assert reported == made
    assert len(written.spans) < sum(made.values()) / 2
    assert written.dropped == 0


def test_few_calls_are_written_as_they_are_and_failures_stay_apart_when_they_are_merged(
    capfd: pytest.CaptureFixture[str],
) -> None:
    written, timeline = Written(capfd), TimelineLog(EventLog(WORD), 0.0)
    few = CallSpans(1.0, 0, tuple(CallSpan(0, "f", n / 10, (n + 1) / 10, 0.1, 1, 0, f"item {n}", "") for n in range(8)))
    timeline(few)
    timeline.write(1.0)
    written.read()
    assert written.spans == list(few.spans)
    many = [CallSpan(0, "f", 1 + n / 1000, 1 + (n + 1) / 1000, 0.001, 1, 0, "", "") for n in range(500)]
    many[100] = many[100]._replace(failed=1, call="item 100", error="ValueError: no")
    timeline(CallSpans(2.0, 0, tuple(many)))
    timeline.write(2.0)
    written.read()
    merged, failed = written.spans[8:]
    assert (merged.calls, merged.failed, merged.call) == (499, 0, "")
    assert failed == many[100]._replace(begin=1.1, end=1.101)


def failures(rng: random.Random, count: int, length: int) -> CallSpans:
    """Return calls that have failed one after the other, each somewhere else."""
    spans = [
        CallSpan(0, "f", n / 100, (n + 1) / 100, 0.01, 1, 1, f"item {n}", f"ValueError: {n}") for n in range(count)
    ]
    texts = ["".join(rng.choices(string.printable, k=length)) for _ in spans]
    return CallSpans(1.0, 0, tuple(spans), tuple(CallTraceback((place,), text) for place, text in enumerate(texts)))


def test_tracebacks_of_failed_calls_come_with_them_as_far_as_there_is_room(capfd: pytest.CaptureFixture[str]) -> None:
    rng = random.Random(7)
    written, timeline = Written(capfd), TimelineLog(EventLog(WORD), 0.0)
    few, many = failures(rng, 3, 500), failures(rng, 100, 3000)
    few = few._replace(tracebacks=(CallTraceback((0, 2), few.tracebacks[0].text), few.tracebacks[1]))
    timeline(few)
    timeline.write(1.0)
    written.read()
    assert written.events == [few]
    timeline(many)
    for second in range(2, 10):
        timeline.write(float(second))
    written.read()
    assert written.spans == [*few.spans, *many.spans], "no call is lost for a traceback"
    assert max(written.sizes) <= RATE
    known = {many.spans[one.spans[0]]: one.text for one in many.tracebacks[50:]}
    found = [
        (event.spans[place], one.text)
        for event in written.events[1:]
        if isinstance(event, CallSpans)
        for one in event.tracebacks
        for place in one.spans
    ]
    assert found
    assert all(known[span] == text for span, text in found)


def test_more_than_can_wait_is_dropped_the_oldest_first_and_counted(capfd: pytest.CaptureFixture[str]) -> None:
    written, timeline = Written(capfd), TimelineLog(EventLog(WORD), BEGUN)
    for worker in range(20_100):
        timeline(WorkerConnected(BEGUN, "render", worker))
    timeline.write(0.0)
    written.read()
    assert written.dropped == 100
    assert written.events[0] == WorkerConnected(0.0, "render", 100)
    timeline.close(1.0)
    written.read()
    assert written.dropped + len(written.events) == 20_100


def test_an_event_too_large_for_any_line_is_dropped_and_what_follows_is_not(capfd: pytest.CaptureFixture[str]) -> None:
    rng = random.Random(7)
    written, timeline = Written(capfd), TimelineLog(EventLog(WORD), 0.0)
    timeline(WorkersRequested(0.0, "".join(rng.choices(string.ascii_letters, k=20_000)), range(3)))
    timeline(WorkerExited(0.5, "render", 1, "".join(rng.choices(string.ascii_letters, k=20_000))))
    timeline(ProgramEnding(0.5, "x" * 20_000))
    timeline.close(1.0)
    written.read()
    exited, ended = written.events
    assert isinstance(exited, WorkerExited)
    assert (exited.worker, len(exited.error or "")) == (1, 1000)
    assert ended == ProgramEnding(0.5, "x" * 1000)
    assert written.dropped == 1


def test_snapshots_come_first(capfd: pytest.CaptureFixture[str]) -> None:
    log, view = EventLog(WORD), JobView()
    written, timeline = Written(capfd), TimelineLog(log, 0.0)
    for number in range(100):
        view.apply(WorkersRequested(0, f"{'é' * 400}{number}", range(50)))
    for event in lives(1000):
        timeline(event)
    log.write_snapshot(view.snapshot(0, 0.0))
    timeline.write(0.0)
    assert written.read() > 3000
    assert sum(written.sizes) < RATE
    before = len(written.sizes)
    timeline.write(60.0)
    written.read()
    assert len(written.sizes) == before + 1


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_each_event_is_packed_and_back(event: Event) -> None:
    packer = Packer(10_000)
    assert packer.add(event)
    assert packer.add(event)
    packed = packer.packed(2.0, 3)
    assert (packed.time, packed.dropped) == (2.0, 3)
    assert unpacked(packed) == ([] if isinstance(event, Packed) else [event, event])
    assert not Packer(10).add(event)


@given(st.text() | st.binary(max_size=50).map(lambda data: data.hex()))
@property_test
def test_anything_else_holds_no_events(data: str) -> None:
    assert unpacked(Packed(0.0, data, 0)) == []


@pytest.mark.slow
def test_a_small_line_that_claims_to_hold_much_is_cut_off() -> None:
    packer = Packer(1 << 20)
    count = 0
    while packer.add(WorkerConnected(0.0, "render", 0)):
        count += 1
    assert len(unpacked(packer.packed(0.0, 0))) == count < 20_000
