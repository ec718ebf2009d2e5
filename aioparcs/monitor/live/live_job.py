"""
The live view of a job: events go in, the JSON of the live view comes out.

No file is read here and no clock: each event brings its time, and callers pass the present one. What is kept is
bounded, however many workers there are and however long they run.
"""

from __future__ import annotations

import re
from math import inf
from typing import Any

from aioparcs.events import (
    CallSpans,
    CallsRunning,
    ChannelSamples,
    Event,
    LogLines,
    Notice,
    PeersChanged,
    ProgramEnding,
    ProgramStarted,
    StackSample,
    StatusLine,
    WorkerConnected,
    WorkerExited,
    WorkersPlaced,
    WorkersRequested,
    WorkerStopped,
    WorkersWaiting,
    WorkerUsage,
)
from aioparcs.monitor.live.calls import CallLog
from aioparcs.monitor.live.course import Course, Level
from aioparcs.monitor.live.output import NOTICE, WARNING, Output
from aioparcs.monitor.live.peers import Peers
from aioparcs.monitor.live.progress import Progress
from aioparcs.monitor.live.workers import Workers
from aioparcs.monitor.records import Channel, JobRow, Overview, rounded
from aioparcs.recording.full import FULL
from aioparcs.recording.talks import Talks

__all__ = ["LiveJob"]

_STACKS = 100  # that are kept
_STOPPED = re.compile(r"stopped( by SIG(INT|TERM))?")  # why a program has ended that was asked to


class LiveJob:
    """
    All that is shown of one job.

    Args:
        name: the job's name, that of its history.

    Attributes:
        id: that name.
        started: the first event.
        now: seconds since the job began, at its last event or as `advance` has it.
        error: why it has ended, "" if that was no error.
        is_ended: whether its end was recorded.
        is_running: whether its program runs, as the reader of its events knows.
        has_control: whether the reader of this view may do something to it.
        is_full: whether its history has no more calls and lines.
        progress: its modules and pools.
        workers: its workers.
        peers: their channels to each other.
        calls: their calls.
        output: its lines.
        course: its numbers in each second.
        stacks: where the program, None, and workers were, as its log has it: of each the seconds since the job began,
            and the text.
    """

    def __init__(self, name: str) -> None:
        self.id = name
        self.started = ProgramStarted(0.0, 0.0, name, {})
        self.now = self._written = 0.0  # when the job is seen, and its last event
        self.error = ""
        self.is_ended = self.is_running = self.has_control = self.is_full = False
        self.progress = Progress()
        self.workers = Workers()
        self.peers = Peers()
        self.calls = CallLog()
        self._talks = Talks(self.workers.find, self.progress.has_pool)
        self.output = Output()
        self.course = Course()
        self.stacks: dict[int | None, tuple[float, str]] = {}

    @property
    def state(self) -> str:
        """Its state in a word: running, done, failed, stopped or killed."""
        if self.is_ended:
            return "stopped" if _STOPPED.fullmatch(self.error) else "failed" if self.error else "done"
        return "running" if self.is_running else "killed"

    def apply(self, event: Event) -> None:
        """Record an event."""
        if isinstance(event, ProgramStarted):
            self.started, self.workers.has_calls = event, event.has_calls
            if event.is_submitted:
                self._talks.set_rare()
                self.workers.set_rare()
                self.course.set_rare()
            return
        time = self._written = max(0.0, event.time - self.started.time)
        self._reach(time)
        self.progress.apply(event)
        if isinstance(event, CallSpans):
            self._add_calls(event)
        else:
            self._apply_to_workers(event, time)
            self._apply_to_output(event, time)

    def advance(self, now: float) -> None:
        """Note the present time, in seconds since the job began, unless it has ended."""
        if not self.is_ended:
            self._reach(now)
            self.workers.advance(self._reported)

    def lose(self) -> None:
        """Note that the program no longer runs and that all it has written is read: its last event was its end."""
        if not self.is_ended:
            self.now = self._written
            self.workers.leave(self.now, "unknown")

    def row(self) -> JobRow:
        """Return its row in a list of jobs."""
        started, progress, clock = self.started, self.progress, self.started.time + self.now
        is_over = self.state != "running"
        versions = started.versions
        return {
            "id": self.id, "program": started.program, "engine": versions.get("engine", "local"), "state": self.state,
            "started": rounded(started.date), "seconds": rounded(self.now),
            "workers": progress.workers(is_over=is_over), "items": progress.items(is_over=is_over),
            "rate": None if is_over else progress.rate(clock),
            "left": None if is_over else progress.left(clock), "error": self.error,
            "waits": [] if is_over else progress.waits(), "control": self.has_control,
        }  # fmt: skip

    def overview(self) -> Overview:
        """Return what its own page begins with."""
        return {
            **self.row(), "versions": {key: text for key, text in self.started.versions.items() if key != "engine"},
            "hasCalls": self.workers.has_calls, "calls": self.calls.calls, "failedCalls": self.calls.failed,
            "utilisation": self.workers.sums.utilisation(self.now) if self.workers.has_calls else None,
            "isFull": self.is_full,
        }  # fmt: skip

    def parts(self) -> dict[str, Any]:
        """Return the parts that a message has as a whole, by their keys in `Message`."""
        clock = self.started.time + self.now
        return {
            "overview": self.overview(),
            "pools": self.progress.pools(self.started.time, clock, is_over=self.state != "running"),
            "modules": self.progress.modules(is_over=self.state != "running"),
            "functions": self.calls.functions(),
            "nodes": self.progress.nodes() if self.progress.is_restored else self.workers.sums.nodes(),
            "peers": self.peers.rows(),
            "slowest": self.calls.slowest(),
        }

    @property
    def _reported(self) -> float:
        """The time up to which calls are known, but for those of the last report: a log comes late."""
        return self._written if self.started.is_submitted else self.now

    def _reach(self, time: float) -> None:
        self.now = max(self.now, time)
        self._add_talks(self.now)
        if self.course.is_due(self.now):
            self.workers.advance(self._reported)
            self.course.advance(self.now, self._level())

    def _end(self, error: str) -> None:
        if not self.is_ended:
            self._add_talks(inf)
            self.course.end(self.now, self._level())
            self.workers.leave(self.now, "ended")
        self.is_ended, self.error = True, self.error or error

    def _add_talks(self, now: float) -> None:
        for talk in self._talks.decided(now):
            self.calls.talk(talk.worker, talk.begin, talk.end, talk.messages)

    def _level(self) -> Level:
        progress = self.progress
        is_known = self.workers.has_calls and not progress.is_restored
        calling = self.workers.calling if is_known else progress.running
        return Level(progress.up, calling, progress.done)

    def _apply_to_workers(self, event: Event, time: float) -> None:
        workers = self.workers
        match event:
            case WorkersRequested():
                workers.request(event.workers, event.module, time, event.parent)
            case WorkersPlaced():
                for number in event.workers:
                    workers.of(number, event.module, time).node = event.node
            case WorkerConnected():
                workers.of(event.worker, event.module, time).connected = time
            case WorkerExited():
                how = "done" if event.error is None else "lost"
                workers.end(event.worker, event.module, time, how, event.error or "")
            case WorkerStopped():
                workers.end(event.worker, event.module, time, "stopped")
            case CallsRunning():
                self._set_running(event)
            case ChannelSamples():
                self._add_samples(event, time)
            case WorkerUsage():
                for use in event.usages:
                    workers.set_usage(use.worker, {"cpu": use.cpu, "memory": use.memory})
            case PeersChanged():
                for change in event.changes:
                    self.peers.change(change, time)
            case StackSample():
                self._set_stack(event, time)
        if isinstance(event, WorkerExited | WorkerStopped):
            self.peers.end(event.worker, time)
            self.stacks.pop(event.worker, None)

    def _set_stack(self, event: StackSample, time: float) -> None:
        """Note where a worker or the program is, in place of where it was; the oldest of too many are dropped."""
        others = [(worker, stack) for worker, stack in self.stacks.items() if worker != event.worker]
        self.stacks = dict([*others, (event.worker, (time, event.text))][-_STACKS:])

    def _set_running(self, event: CallsRunning) -> None:
        """Note which workers are in a call that takes long, and which of the pool's no longer are."""
        start = self.started.time
        calls = (call._replace(begin=max(0.0, call.begin - start)) for call in event.calls)
        self.workers.set_running(event.pool, tuple(calls))

    def _add_samples(self, event: ChannelSamples, time: float) -> None:
        self._talks.begin(len(event.samples))
        for worker, *numbers in event.samples:
            sent, received, bytes_sent, bytes_received, queued, unread = numbers
            channel: Channel = {
                "sent": sent, "received": received, "bytesSent": bytes_sent, "bytesReceived": bytes_received,
                "queued": queued, "unread": unread,
            }  # fmt: skip
            messages, size = self.workers.set_channel(worker, channel)
            if found := self.workers.find(worker):
                self._talks.add(found, messages, size, time)
            self.course.count(self.now, self.course.sampled, messages=messages, size=size)

    def _apply_to_output(self, event: Event, time: float) -> None:
        output = self.output
        match event:
            case LogLines():
                for worker, text in event.lines:
                    output.add(time, event.module, worker, text)
            case Notice():
                self.is_full = self.is_full or event.text == FULL
                output.add(time, event.module, None, event.text, WARNING if event.is_warning else NOTICE)
            case WorkersWaiting():
                output.add(time, event.module, None, event.text, NOTICE)
            case StatusLine():
                output.add(time, "runner", None, event.text, NOTICE)
            case WorkerExited(error=str(error)):
                output.add(time, event.module, event.worker, f"lost: {error}", WARNING)
            case ProgramEnding():
                self._end(event.error)

    def _add_calls(self, event: CallSpans) -> None:
        start, find = self.started.time, self.workers.find
        self.workers.note_calls()  # a recording or a page has asked for them
        count = failed = 0
        tracebacks = {place: one.text for one in event.tracebacks for place in one.spans}
        for place, span in enumerate(event.spans):
            worker = find(span.worker)
            if worker is None:
                continue
            begin = max(0.0, span.begin - start)
            name = span.function.rpartition(":")[2] or worker.module
            own = span._replace(function=name, begin=begin, end=max(begin, span.end - start))
            self.workers.add(worker, own)
            self._talks.call(own.worker, own.begin, own.end)
            self.calls.add(own, tracebacks.get(place, ""))
            count += own.calls
            failed += own.failed
        period = self.workers.expect_calls(event.time, len(event.spans))
        self.course.count(self.now, period, count, failed)
