"""Recordings by a script: the events of programs that never ran."""

import random
from pathlib import Path

from aioparcs.events import (
    CallSpan,
    CallSpans,
    ChannelSample,
    ChannelSamples,
    Event,
    LogLines,
    Notice,
    PoolProgress,
    PoolState,
    ProgramEnding,
    ProgramStarted,
    WorkerConnected,
    WorkerExited,
    WorkersPlaced,
    WorkersRequested,
)
from aioparcs.events.codec import to_json
from aioparcs.recording import Recording

__all__ = ["HOSTILE", "conversation", "recording", "started", "write_recording"]

HOSTILE = "</script><script>window.hacked = 1</script><!-- <img src=x onerror='window.hacked = 1'> é \u2028"
_BEGIN = 100.0  # on the program's clock


def started() -> ProgramStarted:
    """Return the beginning of a program."""
    return ProgramStarted(_BEGIN, 1.7e9, "render/main.py", {"aioparcs": "0.1.0", "Python": "3.12.1"})


def recording(
    workers: int, spans: int, *, error: str = "", nodes: int = 2, lines: int = 100, slow: int = -1, factor: float = 1.0
) -> Recording:
    """
    Return the recording of a pool whose workers make calls of about a tenth of a second.

    The worker 1 is lost at the end of its calls, and one call of 50 fails. All texts are hostile.

    Args:
        workers: how many there are.
        spans: how many calls each makes.
        error: what the program ends with.
        nodes: how many nodes there are.
        lines: how many lines are printed.
        slow: a worker whose calls take five times as long.
        factor: how much longer all calls take.
    """
    chance = random.Random(7)
    events: list[Event] = [WorkersRequested(_BEGIN + 0.5, "render", range(workers))]
    for node in range(nodes):
        part = range(node * workers // nodes, (node + 1) * workers // nodes)
        events.append(WorkersPlaced(_BEGIN + 0.6, "render", part, f"node{node + 1}"))
    events += [WorkerConnected(_BEGIN + 1, "render", worker) for worker in range(workers)]
    calls = [call for worker in range(workers)
             for call in _calls(worker, spans, chance, factor * (5 if worker == slow else 1))]  # fmt: skip
    calls.sort(key=lambda span: span.end)
    for first in range(0, len(calls), 400):
        group = tuple(calls[first : first + 400])
        events.append(CallSpans(group[-1].end, 0, group))
    end = max((span.end for span in calls), default=_BEGIN + 2)
    failed = sum(span.failed for span in calls)
    events.append(PoolProgress(_BEGIN + 1, PoolState(0, "render", 0, 0, len(calls), 0, workers, workers)))
    events.append(PoolProgress(end, PoolState(0, "render", len(calls), failed, len(calls), 0, 0, 0)))
    events += [LogLines(_BEGIN + 1 + (end - _BEGIN - 1) * line / lines, "render",
                        ((line % max(1, workers), f"line {line}: {HOSTILE}"),)) for line in range(lines)]  # fmt: skip
    events.append(Notice(_BEGIN + 1.5, "swarm", f"waiting {HOSTILE}", True))
    if workers > 1:
        events.append(WorkerExited(end, "render", 1, f"killed by SIGKILL {HOSTILE}"))
    events.append(ProgramEnding(end + 0.5, error))
    return Recording(started(), events, 0)


def conversation() -> Recording:
    """Return the recording of two workers; the first one is sent messages, in its first seconds and once later."""
    carried = ((1.0, 4), (2.0, 8), (10.0, 9))
    samples = [
        ChannelSamples(_BEGIN + time, (ChannelSample(0, count, 0, 100 * count, 0, 0),)) for time, count in carried
    ]
    begin: list[Event] = [WorkersRequested(_BEGIN, "talk", range(2)), WorkerConnected(_BEGIN + 0.5, "talk", 0)]
    return Recording(started(), [*begin, *samples, ProgramEnding(_BEGIN + 12, "")], 0)


def write_recording(path: Path, made: Recording) -> Path:
    """Write a recording into a file."""
    path.write_text("".join(f"{to_json(event)}\n" for event in (made.started, *made.events)))
    return path


def _calls(worker: int, count: int, chance: random.Random, factor: float) -> list[CallSpan]:
    time, calls = _BEGIN + 1.1, []
    for number in range(count):
        took, failed = factor * chance.uniform(0.05, 0.15), int(number % 50 == 25)
        error = f"ValueError: {HOSTILE}" if failed else ""
        call = f"item {worker * count + number}: ({HOSTILE})"
        calls.append(
            CallSpan(worker, "frame" if number % 4 else "merge", time, time + took, took, 1, failed, call, error)
        )
        time += took + (1.0 if number % 10 == 9 else 0.0)
    return calls
