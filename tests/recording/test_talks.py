"""Conversations in what is made of a recording: the same ones that the live view of its job has."""

import json
import random
import zlib
from base64 import b64decode

from aioparcs.events import (
    CallSpan,
    CallSpans,
    CallsRunning,
    ChannelSample,
    ChannelSamples,
    RunningCall,
)
from aioparcs.monitor import LiveJob
from aioparcs.recording.history import history_of
from aioparcs.recording.timeline import make_timeline
from aioparcs.recording.trace_events import trace_events
from tests.support.recordings import conversation, started
from tests.support.trace_format import check_trace


def test_a_report_and_a_trace_have_the_conversations_of_the_live_view() -> None:
    made = conversation()
    live = LiveJob("talk-1a2b3c")
    for event in (made.started, *made.events):
        live.apply(event)
    shown = [(begin, end, messages) for _, function, begin, end, _, messages, *_ in live.calls.spans() if function < 0]
    assert shown == [(0.5, 1.0, 4), (1.0, 2.0, 4), (9.0, 10.0, 1)]
    history = history_of(made)
    assert [tuple(talk) for talk in history.workers[0].talks] == [(0, 0.5, 2.0, 8), (0, 9.0, 10.0, 1)]
    assert history.workers[1].talks == []
    trace = json.loads(json.dumps(trace_events(made), allow_nan=False))
    check_trace(trace)
    talking = [event for event in trace["traceEvents"] if event["name"] == "talking"]
    assert [(event["tid"], event["ts"], event["dur"], event["args"]) for event in talking] == [
        (1, 0.5e6, 1.5e6, {"messages": 8}),
        (1, 9e6, 1e6, {"messages": 1}),
    ]


def test_messages_of_calls_are_no_conversations() -> None:
    begin, made = started().time, conversation()
    span = CallSpan(0, "main:work", begin + 1.1, begin + 1.9, 0.8, 1, 0, "work()", "")
    long = CallsRunning(begin + 10.1, None, (RunningCall(0, "main:work", "work()", begin + 9.5),))
    made.events[-1:-1] = [CallSpans(begin + 2.1, None, (span,)), long]
    made.events.sort(key=lambda event: event.time)
    check_trace(trace_events(made))
    assert [(talk.begin, talk.end) for talk in history_of(made).workers[0].talks] == [(0.5, 1.0)]


def test_conversations_are_coarser_in_a_timeline_that_has_no_room_for_all_of_them() -> None:
    begin, made, chance = started().time, conversation(), random.Random(7)
    for second in range(20, 9000, 4):
        time = begin + second + chance.random()
        sample = ChannelSample(0, second * 5, 0, second * 900, 0, 0)
        span = CallSpan(0, "main:work", time + 0.5, time + 1.5, 1.0, 1, 0, "", "")
        made.events[-1:-1] = [ChannelSamples(time, (sample,)), CallSpans(time + 1.5, None, (span,))]
    history = history_of(made)
    assert len(history.workers[0].talks) > 2000
    timeline = make_timeline(history, 3000)
    assert len(timeline.packed) <= 3000
    assert timeline.step > 10
    spans = json.loads(zlib.decompress(b64decode(timeline.packed)))["spans"][0]
    assert sum(spans[place + 3] for place in range(0, len(spans), 8) if spans[place + 2] == 0) == 2245, "each call"
