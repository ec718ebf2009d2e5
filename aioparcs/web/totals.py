"""The numbers of jobs for a monitoring system: sums of all jobs of a program, which never fall."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from aioparcs.monitor import FollowedJob, LiveJob
from aioparcs.recording.store import histories, store_folder

__all__ = ["COUNTERS", "GAUGES", "Family", "Key", "Totals"]

_PROGRAMS = 50  # that are told apart; the numbers of all others are those of the program "other"
_OTHER = "other"


class Family(NamedTuple):
    """
    A metric.

    Attributes:
        name: its name, without the ``_total`` of a counter.
        text: what it says.
        label: the label that it has besides the program and the engine, "" for none.
        values: the values of that label.
    """

    name: str
    text: str
    label: str = ""
    values: tuple[str, ...] = ()


class Key(NamedTuple):
    """What a number belongs to: a metric, a program, an engine, and the value of a label, "" without one."""

    name: str
    program: str
    engine: str
    value: str


COUNTERS = (
    Family("aioparcs_jobs_ended", "Jobs that have ended.", "result", ("done", "failed", "stopped", "killed")),
    Family("aioparcs_calls", "Calls that workers have answered.", "result", ("done", "failed", "cancelled")),
    Family("aioparcs_call_seconds", "Seconds that these calls took, all in all."),
    Family("aioparcs_items", "Items of pools that have a result.", "result", ("done", "failed")),
    Family("aioparcs_workers_requested", "Workers that were requested."),
    Family("aioparcs_workers_ended", "Workers that have ended.", "result", ("done", "lost", "stopped")),
    Family("aioparcs_channel_frames", "Messages, calls and results.", "direction", ("sent", "received")),
    Family("aioparcs_channel_bytes", "Bytes of channels to workers.", "direction", ("sent", "received")),
)
GAUGES = (
    Family("aioparcs_jobs", "Jobs that run now."),
    Family("aioparcs_workers", "Workers that are there now.", "state", ("starting", "waiting", "calling", "connected")),
    Family("aioparcs_items_running", "Items of pools that are with workers."),
    Family("aioparcs_items_waiting", "Items of pools that wait for a worker, as far as their number is known."),
    Family("aioparcs_longest_call_seconds", "Seconds for which the longest call has run by now; 0 below one."),
    Family("aioparcs_worker_cpu_cores", "Processor time that workers use in a second, in seconds."),
    Family("aioparcs_worker_memory_bytes", "Resident memory of workers; what they share counts for each."),
    Family("aioparcs_channel_queued_bytes", "Bytes that wait to be sent to workers."),
)


class Totals:
    """
    The numbers of the jobs whose histories are kept on this machine.

    Jobs that had ended before the first `poll` are not among them.

    Args:
        folder: the folder of histories, by default the user's own.

    Attributes:
        counters: sums that only grow.
        gauges: what is so just now.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.counters: defaultdict[Key, float] = defaultdict(float)
        self.gauges: defaultdict[Key, float] = defaultdict(float)
        self._folder = folder or store_folder()
        self._following: dict[Path, FollowedJob] = {}
        self._seen: set[Path] = set()
        self._last: dict[Path, dict[tuple[str, str], float]] = {}
        self._programs: dict[tuple[str, str], None] = {}
        self._is_first = True

    def poll(self) -> None:
        """Read what is new; long histories take a while, so call it in a thread."""
        there = histories(self._folder)
        self._seen.intersection_update(there)
        for path in self._following.keys() - set(there):
            self._forget(path)
        self.gauges.clear()
        for program in self._programs:
            self.gauges.update((Key(name, *program, value), 0.0) for name, value in _all(GAUGES))
        for path in there:
            if path not in self._seen and (followed := self._follow(path)):
                self._count(path, followed)
        self._is_first = False

    def close(self) -> None:
        """Close all histories."""
        for path in list(self._following):
            self._forget(path)

    def _follow(self, path: Path) -> FollowedJob | None:
        try:
            followed = self._following.get(path) or self._following.setdefault(path, FollowedJob(path))
        except OSError:  # it was removed, or can't be read
            return None
        followed.poll()
        return followed

    def _forget(self, path: Path) -> None:
        self._following.pop(path).close()
        self._last.pop(path, None)

    def _count(self, path: Path, followed: FollowedJob) -> None:
        job = followed.job
        is_over = job.state != "running"
        if not (is_over and self._is_first):
            program = self._program(job)
            now, before = dict(_counts(job)), self._last.get(path, {})
            for (name, value), number in now.items():
                self.counters[Key(name, *program, value)] += max(0.0, number - before.get((name, value), 0.0))
            self._last[path] = now
            if not is_over:
                for name, value, number in _levels(job):
                    self.gauges[Key(name, *program, value)] += number
        if is_over:
            self._seen.add(path)
            self._forget(path)

    def _program(self, job: LiveJob) -> tuple[str, str]:
        """Return the labels of a job: the name of its program, and its engine."""
        pair = job.started.program, job.started.versions.get("engine", "local")
        if pair not in self._programs and len(self._programs) >= _PROGRAMS:
            pair = _OTHER, pair[1] if pair[1] in ("local", "swarm") else _OTHER
        if pair not in self._programs:
            self._programs[pair] = None
            for name, value in _all(COUNTERS):
                self.counters[Key(name, *pair, value)] += 0  # so that its first rise is one
            self.gauges.update((Key(name, *pair, value), 0.0) for name, value in _all(GAUGES))
        return pair


def _all(families: tuple[Family, ...]) -> Iterator[tuple[str, str]]:
    return ((family.name, value) for family in families for value in family.values or ("",))


def _counts(job: LiveJob) -> Iterator[tuple[tuple[str, str], float]]:
    """Yield what a job has counted so far."""
    items, workers, calls = job.progress.items(), job.progress.workers(), job.calls
    yield ("aioparcs_calls", "done"), calls.calls - calls.failed - calls.cancelled
    yield ("aioparcs_calls", "cancelled"), calls.cancelled
    yield ("aioparcs_calls", "failed"), calls.failed
    yield ("aioparcs_call_seconds", ""), sum(one["busy"] for one in calls.functions())
    yield ("aioparcs_items", "done"), items["done"] - items["failed"]
    yield ("aioparcs_items", "failed"), items["failed"]
    yield ("aioparcs_workers_requested", ""), workers["requested"]
    yield ("aioparcs_workers_ended", "done"), workers["done"]
    yield ("aioparcs_workers_ended", "lost"), workers["lost"]
    yield ("aioparcs_workers_ended", "stopped"), workers["stopped"]
    carried = job.workers.sums.carried()
    yield ("aioparcs_channel_frames", "sent"), carried["sent"]
    yield ("aioparcs_channel_frames", "received"), carried["received"]
    yield ("aioparcs_channel_bytes", "sent"), carried["bytesSent"]
    yield ("aioparcs_channel_bytes", "received"), carried["bytesReceived"]
    if job.state != "running":
        yield ("aioparcs_jobs_ended", job.state), 1


def _levels(job: LiveJob) -> Iterator[tuple[str, str, float]]:
    """Yield what is so in a job just now."""
    items = job.progress.items()
    there = [worker for worker in job.workers if not worker.how]
    yield "aioparcs_jobs", "", 1
    for state, count in Counter(worker.state for worker in there).items():
        yield "aioparcs_workers", state, count
    yield "aioparcs_items_running", "", items["running"]
    yield "aioparcs_items_waiting", "", max(0, (items["total"] or 0) - items["done"] - items["running"])
    yield "aioparcs_worker_cpu_cores", "", sum(worker.usage["cpu"] for worker in there if worker.usage)
    yield "aioparcs_worker_memory_bytes", "", sum(worker.usage["memory"] for worker in there if worker.usage)
    yield "aioparcs_channel_queued_bytes", "", sum(worker.channel["queued"] for worker in there if worker.channel)
    begins = [worker.current["begin"] for worker in there if worker.current]
    yield "aioparcs_longest_call_seconds", "", max(0.0, job.now - min(begins)) if begins else 0.0
