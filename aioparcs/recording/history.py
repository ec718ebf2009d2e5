"""
The history of each worker and each pool of a program, from its recording.

No file is read here and no clock: events go in, records come out.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from math import inf

from aioparcs.events import (
    CallSpan,
    CallSpans,
    CallsRunning,
    ChannelSamples,
    Event,
    LogLines,
    Notice,
    PoolProgress,
    PoolState,
    ProgramEnding,
    WorkerConnected,
    WorkerExited,
    WorkersPlaced,
    WorkersRequested,
    WorkerStopped,
    WorkersWaiting,
)
from aioparcs.recording.reader import Recording
from aioparcs.recording.talks import Talk, Talks

__all__ = ["History", "LogLine", "PoolLife", "WorkerLife", "extent", "history_of"]

_PAUSE = 0.5  # seconds between two times with messages that are one conversation


@dataclass(slots=True)
class WorkerLife:
    """
    One worker. All times are seconds since its program began.

    Attributes:
        number: its number.
        module: its module.
        requested: when it was requested.
        node: where it ran, "" if that is not known.
        connected: when it was connected, None if it never was.
        ended: when it had ended, None if that was not recorded.
        how: how it has ended: "done", "lost", "stopped", or "" if that was not recorded.
        reason: why it was lost, else "".
        spans: its calls, in the order in which they began.
        talks: the times in which it was in no call, and its channel has carried messages.
        reached: the end of its calls.
        calling_since: when the call began that it is in, if that takes long; else infinite.
        carried: the messages and the bytes that its channel has carried.
    """

    number: int
    module: str
    requested: float
    node: str = ""
    connected: float | None = None
    ended: float | None = None
    how: str = ""
    reason: str = ""
    spans: list[CallSpan] = field(default_factory=list)
    talks: list[Talk] = field(default_factory=list)
    reached: float = 0.0
    calling_since: float = inf
    carried: tuple[int, int] = 0, 0

    @property
    def name(self) -> str:
        """What errors call it."""
        return f"{self.module}:{self.number}"

    @property
    def calls(self) -> int:
        """The number of its calls."""
        return sum(span.calls for span in self.spans)

    @property
    def busy(self) -> float:
        """The seconds in which it was in at least one call."""
        busy = reached = 0.0
        for begin, end, share in map(extent, self.spans):
            busy += max(0.0, end - max(begin, reached)) * share
            reached = max(reached, end)
        return busy

    def available(self, duration: float) -> float:
        """Return the seconds in which it could have had calls, in a program of a duration."""
        if self.connected is None:
            return 0.0
        return max(0.0, (duration if self.ended is None else self.ended) - self.connected)


@dataclass(slots=True)
class PoolLife:
    """
    One pool: its last state, the most workers that it had, and when it began and ended, None if it did not.

    Times are seconds since its program began.
    """

    state: PoolState
    peak: int
    begun: float
    ended: float | None = None


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line that a worker, or something else with a name, has printed, and the seconds since the program began."""

    time: float
    origin: str
    text: str
    is_notice: bool = False
    is_warning: bool = False


@dataclass(slots=True)
class History:
    """
    All that a recording says.

    Attributes:
        duration: seconds of the program, or up to the last event if its end was not recorded.
        error: why the program has ended, "" if that was no error.
        is_whole: whether its end was recorded.
        workers: its workers, by number.
        pools: its pools, by number.
        log: the lines that workers have printed, and notices, in order.
        running: the workers whose call takes long, by pool.
    """

    duration: float = 0.0
    error: str = ""
    is_whole: bool = False
    workers: dict[int, WorkerLife] = field(default_factory=dict)
    pools: dict[int, PoolLife] = field(default_factory=dict)
    log: list[LogLine] = field(default_factory=list)
    running: dict[int | None, set[int]] = field(default_factory=dict)

    def has_pool(self, module: str) -> bool:
        """Return whether a pool has a module's workers."""
        return any(pool.state.name == module for pool in self.pools.values())

    @property
    def in_pools(self) -> list[WorkerLife]:
        """The workers of modules whose workers had calls."""
        modules = {worker.module for worker in self.workers.values() if worker.spans}
        return [worker for worker in self.workers.values() if worker.module in modules]


def history_of(recording: Recording) -> History:
    """Return what a recording says of workers and pools."""
    history, start = History(), recording.started.time
    talks = Talks(history.workers.get, history.has_pool)
    if recording.started.is_submitted:
        talks.set_rare()
    for event in recording.events:
        time = max(0.0, event.time - start)
        history.duration = max(history.duration, time)
        _add_talks(history, talks.decided(history.duration))
        _apply(history, event, time, start)
        match event:
            case ChannelSamples():
                _add_samples(history, talks, event, time)
            case CallSpans():
                for span in event.spans:
                    talks.call(span.worker, span.begin - start, span.end - start)
    _add_talks(history, talks.decided(inf))
    for worker in history.workers.values():
        worker.spans.sort(key=lambda span: (span.begin, span.end))
    return history


def extent(span: CallSpan) -> tuple[float, float, float]:
    """Return when a span began and ended, and the share of this time in which its worker was in a call, at most 1."""
    length = span.end - span.begin
    return span.begin, span.end, min(1.0, span.busy / length) if length > 0 else 1.0


def _apply(history: History, event: Event, time: float, start: float) -> None:
    match event:
        case WorkersRequested():
            for number in event.workers:
                history.workers[number] = WorkerLife(number, event.module, time)
        case WorkersPlaced():
            for number in event.workers:
                _worker(history, event.module, number, time).node = event.node
        case WorkerConnected():
            _worker(history, event.module, event.worker, time).connected = time
        case WorkerExited():
            worker = _worker(history, event.module, event.worker, time)
            worker.ended, worker.how = time, "done" if event.error is None else "lost"
            worker.reason = event.error or ""
        case WorkerStopped():
            worker = _worker(history, event.module, event.worker, time)
            worker.ended, worker.how = time, "stopped"
        case CallSpans():
            _add_spans(history, event, start)
        case CallsRunning():
            _set_running(history, event, start)
        case PoolProgress():
            _add_progress(history, event.state, time)
        case LogLines():
            for printer, text in event.lines:
                origin = event.module if printer is None else f"{event.module}:{printer}"
                history.log.append(LogLine(time, origin, text))
        case Notice():
            history.log.append(LogLine(time, event.module, event.text, True, event.is_warning))
        case WorkersWaiting():
            history.log.append(LogLine(time, event.module, event.text, True))
        case ProgramEnding():
            history.is_whole, history.error = True, history.error or event.error


def _worker(history: History, module: str, number: int, time: float) -> WorkerLife:
    return history.workers.setdefault(number, WorkerLife(number, module, time))


def _add_spans(history: History, event: CallSpans, start: float) -> None:
    for span in event.spans:
        worker = history.workers.get(span.worker)
        if worker is None:
            continue
        begin, end = max(0.0, span.begin - start), max(0.0, span.end - start)
        name = span.function.rpartition(":")[2] or worker.module
        worker.spans.append(span._replace(begin=begin, end=max(begin, end), function=name))
        worker.reached = max(worker.reached, end)


def _set_running(history: History, event: CallsRunning, start: float) -> None:
    """Note which workers of a pool are in a call that takes long, in place of those that were."""
    for number in history.running.pop(event.pool, ()):
        history.workers[number].calling_since = inf
    own = history.running[event.pool] = {call.worker for call in event.calls if call.worker in history.workers}
    for call in event.calls:
        if call.worker in own:
            history.workers[call.worker].calling_since = call.begin - start


def _add_samples(history: History, talks: Talks, event: ChannelSamples, time: float) -> None:
    talks.begin(len(event.samples))
    for sample in event.samples:
        worker = history.workers.get(sample.worker)
        if worker is None:
            continue
        messages, size = worker.carried
        worker.carried = sample.sent + sample.received, sample.bytes_sent + sample.bytes_received
        talks.add(worker, max(0, worker.carried[0] - messages), max(0, worker.carried[1] - size), time)


def _add_talks(history: History, found: Iterable[Talk]) -> None:
    for talk in found:
        own = history.workers[talk.worker].talks
        if own and talk.begin - own[-1].end <= _PAUSE:
            own[-1] = Talk(talk.worker, own[-1].begin, talk.end, own[-1].messages + talk.messages)
        else:
            own.append(talk)


def _add_progress(history: History, state: PoolState, time: float) -> None:
    pool = history.pools.setdefault(state.id, PoolLife(state, state.workers, time))
    pool.state, pool.peak = state, max(pool.peak, state.workers)
    if state.is_over:
        pool.ended = time
