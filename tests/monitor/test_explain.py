"""The reasons why a job waits, from the events of jobs that never ran."""

from typing import Any

import pytest

from aioparcs.events import (
    CallsRunning,
    ChannelSample,
    ChannelSamples,
    Event,
    PoolProgress,
    PoolState,
    ProgramEnding,
    RunningCall,
    WorkerConnected,
    WorkerExited,
    WorkersRequested,
    WorkersWaiting,
)
from aioparcs.monitor import LiveJob
from aioparcs.monitor.explain import explained, explained_worker, reasons
from tests.support.recordings import started

BEGIN = started().time
REQUESTED = WorkersRequested(BEGIN + 1, "factor", range(4))
CONNECTED = [WorkerConnected(BEGIN + 2, "factor", number) for number in range(4)]
POOL = PoolState(0, "factor", 10, 0, 100, 4, 4, 4)


def job(*events: Event) -> LiveJob:
    """Return the view of a job that runs, after some events."""
    made = LiveJob("factor-1a2b3c")
    made.is_running = True
    for event in (started(), *events):
        made.apply(event)
    return made


def at(seconds: float, **changes: Any) -> PoolProgress:
    return PoolProgress(BEGIN + seconds, POOL._replace(**changes))


def running(seconds: float, *begins: float) -> CallsRunning:
    calls = [RunningCall(n, "factor", f"item {n}: ({n})", BEGIN + begin) for n, begin in enumerate(begins)]
    return CallsRunning(BEGIN + seconds, 0, tuple(calls))


def sample(worker: int, queued: int = 0, unread: int = 0) -> ChannelSamples:
    return ChannelSamples(BEGIN + 5, (ChannelSample(worker, 1, 1, 1, 1, queued, unread),))


UP: tuple[Event, ...] = (REQUESTED, *CONNECTED)
OWN = "the program runs its own code"
OLDEST = "the oldest of 2 calls that have run for over a second"
MESSAGES = "4 workers are connected, and no call is known to run: they work by themselves or wait for messages, and"
CASES: dict[str, tuple[tuple[Event, ...], list[tuple[str, str, float | None]]]] = {
    "nothing yet": ((), [("job", f"has not started a worker yet: {OWN}", 0.0)]),
    "starting": ((REQUESTED,), [("module factor", "4 workers are starting", 1.0)]),
    "some starting": ((REQUESTED, CONNECTED[0]), [("module factor", "3 of 4 workers are starting", 1.0)]),
    "an image": (
        (REQUESTED, *(WorkersWaiting(BEGIN + 4 + n, "factor", 4 - n, "its node is pulling the image") for n in (0, 1))),
        [("module factor", "3 workers wait: its node is pulling the image", 4.0)],
    ),
    "busy": ((*UP, at(5)), []),
    "a slow item": (
        (*UP, at(5), running(6, 3.5, 4), at(12)),
        [("pool factor", f"waits for item 0: (0) in worker 0, {OLDEST}", 3.5)],
    ),
    "long calls that are young": ((*UP, at(5), running(6, 4.5)), []),
    "a call that the pool calls slow": (
        (*UP, running(6, 4.5), at(6.5, waits="item 0: (0) has run for 5 s in worker 0")),
        [("pool factor", "waits for item 0: (0) in worker 0", 4.5)],
    ),
    "a call of a lost worker": ((*UP, at(5), running(6, 1), WorkerExited(BEGIN + 20, "factor", 0, "lost")), []),
    "a rate": (
        (*UP, at(5, running=0, waits="waits for its rate limit"), at(6, running=0, waits="waits for its rate limit")),
        [("pool factor", "waits for its rate limit", 5.0)],
    ),
    "a retry": (
        (*UP, at(5, running=0, waits="waits 3.2 s for a retry"), at(6, running=0, waits="waits 2.2 s for a retry")),
        [("pool factor", "waits 2.2 s for a retry", 5.0)],
    ),
    "all done": (
        (*UP, at(5, done=99), at(6, done=100, running=0), at(9, done=100, running=0)),
        [("pool factor", "has done all of its 100 items, and the program has not left it", 6.0)],
    ),
    "no items": (
        (*UP, at(5, done=0, running=0, total=0)),
        [("pool factor", "has workers and no items: the program has given it none", 5.0)],
    ),
    "a worker that does not read": (
        (*UP, at(5), sample(2, queued=3 << 20)),
        [("worker 2", "does not read what it was sent: 3.0 MiB wait for it, and so does who sends more", None)],
    ),
    "messages that are not received": (
        (*UP, at(5), sample(2, unread=300 << 10)),
        [("worker 2", "has sent 300 KiB that the program has not received, and waits for that to send more", None)],
    ),
    "only messages": (
        UP,
        [("job", f"{MESSAGES} {OWN}", None)],
    ),
    "no workers left": (
        (*UP, *(WorkerExited(BEGIN + 3 + n, "factor", n, None) for n in range(4))),
        [("job", f"has no workers now: {OWN}", 6.0)],
    ),
    "ended": ((*UP, at(5, waits="waits for its rate limit"), ProgramEnding(BEGIN + 6, "")), []),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_the_reasons_are_plain_sentences(case: str) -> None:
    events, expected = CASES[case]
    made = job(*events)
    assert [(one["subject"], one["text"], one["since"]) for one in explained(made)] == expected


def test_what_the_programs_own_code_may_explain_is_marked() -> None:
    for waits in ("waits for items of its iterable", "waits for its results to be taken"):
        (reason,) = reasons(job(*UP, at(5, waits=waits)))
        assert reason.text.startswith(f"{waits}: the program's own")
        assert reason.is_program


WORKERS: dict[str, tuple[tuple[Event, ...], list[tuple[str, float | None]]]] = {
    "starting": (
        (REQUESTED, WorkersWaiting(BEGIN + 4, "factor", 4, "its container is starting")),
        [("is starting; of its module, 4 workers wait: its container is starting", 1.0)],
    ),
    "in a call": ((*UP, running(6, 3)), [("runs item 0: (0)", 3.0)]),
    "without a call": (
        UP,
        [("runs no call that is known: it waits for calls or messages, or works by itself", 2.0)],
    ),
    "lost": ((*UP, WorkerExited(BEGIN + 3, "factor", 0, "was killed")), [("was lost: was killed", 3.0)]),
    "done": ((*UP, WorkerExited(BEGIN + 3, "factor", 0, None)), [("has ended cleanly", 3.0)]),
    "of a job that is over": ((*UP, ProgramEnding(BEGIN + 9, "")), [("has ended with its job", 9.0)]),
    "unknown": ((), []),
}


@pytest.mark.parametrize("case", WORKERS)
def test_a_worker_says_what_it_does(case: str) -> None:
    events, expected = WORKERS[case]
    found = explained_worker(job(*events), 0)
    assert [(one["text"], one["since"]) for one in found] == expected
    assert {one["subject"] for one in found} <= {"worker 0"}


def test_the_current_call_of_a_worker_is_that_of_the_last_report() -> None:
    made = job(*UP, running(6, 3, 4), running(7, 3))
    assert [worker.current and worker.current["begin"] for worker in made.workers] == [3.0, None, None, None]
    made.apply(running(8))
    assert not made.workers.running
    assert not any(worker.current for worker in made.workers)
