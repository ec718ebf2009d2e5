"""The workers of a job: a row for each, and when it has last changed."""

from __future__ import annotations

from collections.abc import Iterator

from aioparcs.events import CallSpan, RunningCall
from aioparcs.monitor.live.sums import UNUSED, WorkerSums
from aioparcs.monitor.live.worker import Worker
from aioparcs.monitor.records import Channel, Current, Usage, rounded

__all__ = ["Workers"]

# Rows at which the oldest of workers that have ended are dropped, and how many are left then.
_MOST, _KEPT = 4000, 3000
# Seconds between two reports of calls, at the least and at the most, and the spans in a second that make them rarer in
# between: see `SpanCollector`.
_PERIOD, _SLOWEST, _RATE = 1.0, 2.0, 250
_RARE = 3.0  # seconds between two of them in the log of a runner on a Swarm
_RECENT = 0.5  # seconds for which a worker counts as in a call after its last one, and after the next are reported


class Workers:
    """
    All workers, at most some thousands: of those that have ended the oldest ones are dropped.

    Attributes:
        version: the number of the last change.
        dropped: how often some were dropped.
        running: the calls that have run for over a second, the oldest first, by pool; None for those of no pool. Their
            times are seconds since the job began.
        has_calls: whether calls of workers are recorded.
        sums: the sums over them.
    """

    def __init__(self) -> None:
        self.has_calls = True
        self.version = 0
        self.dropped = 0
        self.running: dict[int | None, tuple[RunningCall, ...]] = {}
        self._workers: dict[int, Worker] = {}
        self._calling: dict[int, Worker] = {}  # those that are in a call
        self._period = self._least = _PERIOD  # seconds between two reports of calls, and the least
        self._reported, self._spans = 0.0, 0  # when there was one, and its spans
        self._gone = 0  # rows of workers that have ended
        self.sums = WorkerSums(self._workers)

    def __iter__(self) -> Iterator[Worker]:
        """Return an iterator over the rows, in the order in which they came."""
        return iter(self._workers.values())

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self._workers)

    @property
    def calling(self) -> int:
        """The number of workers in a call."""
        return len(self._calling)

    def find(self, number: int) -> Worker | None:
        """Return a worker, None if it is not known, or no longer."""
        return self._workers.get(number)

    def of(self, number: int, module: str, time: float) -> Worker:
        """Return a worker that has changed, a new one if it is not known."""
        worker = self._workers.get(number)
        if worker is None:
            worker = self._workers[number] = Worker(number, module, time, has_calls=self.has_calls)
        self.touch(worker)
        return worker

    def touch(self, worker: Worker) -> None:
        """Note that a worker has changed."""
        self.version += 1
        worker.version = self.version

    def request(self, numbers: range, module: str, time: float, parent: int | None = None) -> None:
        """Add workers that were requested."""
        for number in numbers:
            self.of(number, module, time).parent = parent
        if len(self._workers) > _MOST and self._gone > _MOST - _KEPT:
            self._drop()

    def end(self, number: int, module: str, time: float, how: str, reason: str = "") -> None:
        """Note that a worker has ended."""
        worker = self.of(number, module, time)
        self._gone += not worker.how
        worker.ended, worker.how, worker.reason, worker.current = time, how, reason, None
        self._set_calling(worker, False)

    def leave(self, time: float, how: str) -> None:
        """Note that the job is over, and with it the workers whose own end is not known."""
        for worker in [worker for worker in self._workers.values() if not worker.how]:
            self.end(worker.number, worker.module, time, how)
        self.running.clear()

    def add(self, worker: Worker, span: CallSpan) -> None:
        """Add calls to a worker that it has made; the span's times are those of the job."""
        length = span.end - span.begin
        share = min(1.0, span.busy / length) if length > 0 else 1.0
        worker.busy += max(0.0, span.end - max(span.begin, worker.reached)) * share
        worker.reached = max(worker.reached, span.end)
        worker.calls += span.calls
        worker.failed += span.failed
        if worker.current is not None and span.begin >= worker.current["begin"] - 0.01:
            worker.current = None
        if not worker.how:
            self._set_calling(worker, True)
        self.touch(worker)

    def set_rare(self) -> None:
        """Note that calls are reported as rarely as they come from the log of a runner on a Swarm."""
        self._least = self._period = _RARE

    def expect_calls(self, time: float, spans: int) -> float:
        """Return the seconds after which calls are reported next, now that so many spans are reported at a time."""
        if time != self._reported:
            self._reported, self._spans = time, 0
        self._spans += spans
        self._period = max(self._least, min(self._spans / _RATE, _SLOWEST))
        return self._period

    def note_calls(self) -> None:
        """Note that the calls of workers are recorded after all."""
        if not self.has_calls:
            self.has_calls = True
            for worker in self._workers.values():
                worker.has_calls = True
                self.touch(worker)

    def set_running(self, pool: int | None, calls: tuple[RunningCall, ...]) -> None:
        """Note all calls of a pool that have run for over a second."""
        before = {call.worker for call in self.running.pop(pool, ())}
        if calls:
            self.running[pool] = calls
        current = {call.worker: call for call in reversed(calls)}
        for number in (*(before - current.keys()), *current):
            if worker := self._workers.get(number):
                call = current.get(number)
                self._set_current(worker, None if call is None else _current(worker, call))

    def set_usage(self, number: int, usage: Usage) -> None:
        """Note what a worker's process uses."""
        if worker := self._workers.get(number):
            worker.usage = usage
            self.touch(worker)

    def set_channel(self, number: int, channel: Channel) -> tuple[int, int]:
        """Note what a worker's channel has carried; return the messages and the bytes since the last time."""
        worker = self._workers.get(number)
        if worker is None:
            return 0, 0
        before, worker.channel = worker.channel or UNUSED, channel
        self.touch(worker)
        messages = channel["sent"] + channel["received"] - before["sent"] - before["received"]
        size = channel["bytesSent"] + channel["bytesReceived"] - before["bytesSent"] - before["bytesReceived"]
        return max(0, messages), max(0, size)

    def advance(self, now: float) -> None:
        """Note which workers are no longer in a call."""
        for worker in list(self._calling.values()):
            if worker.current is None and worker.reached < now - self._period - _RECENT:
                self._set_calling(worker, False)
                self.touch(worker)

    def _set_current(self, worker: Worker, current: Current | None) -> None:
        """Note the call that a worker is in, None for none that takes long."""
        if worker.current != current and not worker.how:
            worker.current = current
            self._set_calling(worker, current is not None or (worker.is_calling and worker.has_calls))
            self.touch(worker)

    def _set_calling(self, worker: Worker, is_calling: bool) -> None:
        if is_calling is worker.is_calling:
            return
        worker.is_calling = is_calling
        if is_calling:
            self._calling[worker.number] = worker
        else:
            del self._calling[worker.number]

    def _drop(self) -> None:
        """Drop the oldest of those that have ended, but keep what they add to sums."""
        gone = [worker for worker in self._workers.values() if worker.how]
        for worker in gone[: max(0, len(self._workers) - _KEPT)]:
            del self._workers[worker.number]
            self._gone -= 1
            self.sums.keep(worker)
        self.dropped += 1


def _current(worker: Worker, call: RunningCall) -> Current:
    name = call.function.rpartition(":")[2] or worker.module
    return {"function": name, "call": call.call, "begin": rounded(call.begin)}
