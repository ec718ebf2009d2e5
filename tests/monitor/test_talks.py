"""Conversations in the live view of a job: times with messages that are no calls."""

from itertools import pairwise
from typing import Any

import pytest

from aioparcs.events import (
    CallSpan,
    CallSpans,
    CallsRunning,
    ChannelSample,
    ChannelSamples,
    Event,
    PoolProgress,
    PoolState,
    ProgramEnding,
    RunningCall,
    WorkerConnected,
    WorkersRequested,
)
from aioparcs.monitor import JobStream, LiveJob
from tests.support.recordings import started

BEGIN = started().time
START = (WorkersRequested(BEGIN, "talk", range(2)), WorkerConnected(BEGIN + 0.5, "talk", 0))


def talks(*events: Event, now: float = 100.0) -> list[list[Any]]:
    """Return the times of conversations that a page is sent: worker, begin, end, messages."""
    made = LiveJob("render-1a2b3c")
    made.is_running = True
    for event in (started(), *START, *events):
        made.apply(event)
    made.advance(now)
    message = JobStream(made).next()
    assert message is not None
    assert made.calls.spans_of(0, 99) == [row for row in message["spans"] if row[0] == 0 and row[1] >= 0]
    return [[row[0], row[2], row[3], row[5]] for row in message["spans"] if row[1] < 0]


def sample(time: float, messages: int, size: int = 0, worker: int = 0) -> Event:
    """Return what a channel has carried so far."""
    one = ChannelSample(worker, messages, 0, size or 100 * messages, 0, 0)
    return ChannelSamples(BEGIN + time, (one,))


def test_seconds_with_messages_are_conversations() -> None:
    spoken = [sample(1.0, 4), sample(2.0, 8), sample(10.0, 9), sample(10.5, 10)]
    assert talks(*spoken) == [[0, 0.5, 1.0, 4], [0, 1.0, 2.0, 4], [0, 9.0, 10.0, 1], [0, 10.0, 10.5, 1]]
    assert talks(*spoken, now=11.0) == [[0, 0.5, 1.0, 4], [0, 1.0, 2.0, 4]], "later it is known what the others are"
    assert len(talks(*spoken, ProgramEnding(BEGIN + 11, ""), now=11.0)) == 4


def test_frames_without_messages_are_none() -> None:
    assert talks(sample(1.0, 4), sample(20.0, 6, 416)) == [[0, 0.5, 1.0, 4]]


def test_messages_of_calls_are_no_conversations() -> None:
    span = CallSpan(0, "main:work", BEGIN + 1.1, BEGIN + 1.9, 0.8, 1, 0, "work()", "")
    long = CallsRunning(BEGIN + 3.6, None, (RunningCall(0, "main:work", "work()", BEGIN + 2.5),))
    spoken = [sample(1.0, 4), sample(2.0, 6), CallSpans(BEGIN + 2.1, None, (span,)), sample(3.0, 7), long]
    assert talks(*spoken) == [[0, 0.5, 1.0, 4]]
    pool = PoolProgress(BEGIN + 0.4, PoolState(0, "talk", 0, 0, 1, 1, 1, 1))
    assert talks(pool, sample(1.0, 4), sample(2.0, 6)) == [[0, 1.0, 2.0, 2]], (
        "a pool has told its worker what it is for"
    )
    late = PoolProgress(BEGIN + 30, PoolState(0, "talk", 0, 0, 1, 1, 1, 1))
    assert talks(sample(1.0, 4), sample(2.0, 6), late) == [], "it has waited for its other workers"


@pytest.mark.slow
def test_a_conversation_of_hours_is_short_for_a_page_and_calls_keep_their_places() -> None:
    spoken = [sample(float(second), second) for second in range(1, 30_000)]
    spans = [CallSpan(1, "main:work", BEGIN + n, BEGIN + n + 0.2, 0.2, 1, 0, "", "") for n in range(30_000)]
    calls = [CallSpans(span.end, None, (span,)) for span in spans]
    events = sorted((*spoken, *calls), key=lambda event: event.time)
    made = LiveJob("render-1a2b3c")
    made.is_running = True
    for event in (started(), *START, *events):
        made.apply(event)
    rows = made.calls.spans()
    assert len(rows) <= 20_000
    talked = [row for row in rows if row[1] < 0]
    assert talked[0][2] == 0.5
    assert sum(row[5] for row in talked) == 29_996, "the last seconds are not decided"
    assert all(one[3] == other[2] for one, other in pairwise(talked)), "there is no gap"
    assert sum(row[5] for row in rows if row[1] >= 0) == 30_000
