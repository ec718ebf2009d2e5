"""Channels, usage, peers and parents of workers in the live view of a job."""

from aioparcs.events import (
    CallsRunning,
    ChannelSample,
    ChannelSamples,
    Event,
    PeerChange,
    PeersChanged,
    RunningCall,
    Use,
    WorkerConnected,
    WorkerExited,
    WorkersRequested,
    WorkerUsage,
)
from aioparcs.monitor import JobStream, LiveJob
from tests.support.live_client import LiveClient
from tests.support.recordings import started

BEGIN = started().time


def job(*events: Event) -> LiveJob:
    """Return the view of a running job with three workers, two of which the first has started, after some events."""
    made = LiveJob("render-1a2b3c")
    made.is_running = True
    requests: tuple[Event, ...] = (
        WorkersRequested(BEGIN, "tree", range(1)),
        WorkersRequested(BEGIN, "tree", range(1, 3), 0),
    )
    for event in (started(), *requests, *events):
        made.apply(event)
    return made


def seen(made: LiveJob) -> LiveClient:
    """Return a client that has read all of a job."""
    client = LiveClient()
    client.apply(JobStream(made).next())
    return client


def samples(time: float, *made: ChannelSample) -> ChannelSamples:
    return ChannelSamples(BEGIN + time, made)


def test_rows_of_workers_say_who_has_started_them_what_they_use_and_what_their_channels_carry() -> None:
    made = job(
        samples(1.0, ChannelSample(1, 10, 20, 1000, 2000, 30, 40)),
        WorkerUsage(BEGIN + 1.0, (Use(1, 0.5, 1 << 20), Use(99, 0.5, 1 << 20))),
        samples(2.0, ChannelSample(1, 11, 22, 1100, 2200, 0, 0), ChannelSample(99, 1, 1, 1, 1, 0, 0)),
    )
    rows = seen(made).known["workers"]
    assert {number: row["parent"] for number, row in rows.items()} == {0: None, 1: 0, 2: 0}
    assert rows[1]["usage"] == {"cpu": 0.5, "memory": 1 << 20}
    numbers = {"sent": 11, "received": 22, "bytesSent": 1100, "bytesReceived": 2200, "queued": 0, "unread": 0}
    assert rows[1]["channel"] == numbers
    assert rows[2]["usage"] is rows[2]["channel"] is None


def test_rows_of_workers_have_the_call_that_takes_long_until_it_does_no_more() -> None:
    first, second = RunningCall(1, "main:draw", "item 1", BEGIN + 1.0), RunningCall(2, "", "item 2", BEGIN + 1.5)
    made = job(
        *(WorkerConnected(BEGIN + 0.5, "tree", worker) for worker in range(3)),
        CallsRunning(BEGIN + 3.0, 0, (first, second)),
        CallsRunning(BEGIN + 3.0, 1, ()),
    )
    rows = seen(made).known["workers"]
    assert rows[1]["current"] == {"function": "draw", "call": "item 1", "begin": 1.0}
    assert rows[2]["current"] == {"function": "tree", "call": "item 2", "begin": 1.5}
    assert [rows[worker]["state"] for worker in range(3)] == ["waiting", "calling", "calling"]
    made.apply(CallsRunning(BEGIN + 4.0, 0, (second,)))
    made.advance(6.0)
    rows = seen(made).known["workers"]
    assert rows[1]["current"] is None
    assert [rows[worker]["state"] for worker in range(3)] == ["waiting", "waiting", "calling"]


def test_a_client_gets_the_rows_whose_channels_have_changed() -> None:
    made = job()
    stream = JobStream(made)
    stream.next()
    made.apply(samples(0.5, ChannelSample(2, 1, 0, 10, 0, 0, 0)))
    message = stream.next()
    assert message is not None
    assert [row["number"] for row in message["workers"]] == [2]


def test_the_course_has_messages_and_bytes_of_the_second_before_they_are_reported() -> None:
    made = job(
        samples(0.9, ChannelSample(1, 10, 20, 1000, 2000, 0, 0)),
        samples(1.9, ChannelSample(1, 15, 25, 1300, 2200, 0, 0), ChannelSample(2, 1, 1, 5, 5, 0, 0)),
    )
    made.advance(3.5)
    rows = [row[6:] for row in seen(made).known["series"]]
    assert rows == [[0, 0], [3, 300], [27 + 1.2, 2700 + 51], [10.8, 459]], "a tenth of each has room in its second"


def test_channels_between_workers_have_the_times_at_which_they_were_open() -> None:
    made = job(
        PeersChanged(BEGIN + 1.0, (PeerChange(1, 2, True), PeerChange(0, 2, True))),
        PeersChanged(BEGIN + 2.0, (PeerChange(1, 2, False), PeerChange(0, 1, True), PeerChange(5, 6, False))),
        WorkerExited(BEGIN + 3.0, "tree", 0, None),
    )
    assert seen(made).known["peers"] == [[1, 2, 1.0, 2.0], [0, 2, 1.0, 3.0], [0, 1, 2.0, 3.0]]


def test_channels_between_workers_are_bounded_and_open_ones_stay() -> None:
    made = job(PeersChanged(BEGIN, tuple(PeerChange(7, peer, True) for peer in range(400))))
    for worker in range(100, 110):
        for is_open in (True, False):
            made.apply(PeersChanged(BEGIN + 1, tuple(PeerChange(worker, peer, is_open) for peer in range(200))))
    rows = seen(made).known["peers"]
    assert len(rows) == 1000
    assert sum(row[3] is None for row in rows) == 400
    made.apply(PeersChanged(BEGIN + 2, tuple(PeerChange(8, peer, True) for peer in range(2000))))
    assert len(seen(made).known["peers"]) <= 2000
