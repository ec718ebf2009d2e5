"""The messages about a job for one reader: first all of it, then what has changed."""

from __future__ import annotations

from typing import Any

from aioparcs.monitor.explain import explained
from aioparcs.monitor.live_job import LiveJob
from aioparcs.monitor.records import Message, rounded

__all__ = ["JobStream"]


class JobStream:
    """
    What one reader knows of a job.

    Args:
        job: the job.
    """

    def __init__(self, job: LiveJob) -> None:
        self._job = job
        self._is_new = True
        self._parts: dict[str, Any] = {}
        self._workers = self._spans = self._steps = self._lines = self._failures = 0  # rows or versions that were sent
        self._dropped = self._merged = self._joined = 0  # how often rows were dropped or merged before that

    def next(self) -> Message | None:
        """Return the next message; None if nothing has changed since the last one."""
        message: Message = {}
        parts = {**self._job.parts(), "explain": explained(self._job)}
        changed = {key: part for key, part in parts.items() if _compared(key, part) != self._parts.get(key)}
        self._parts = {key: _compared(key, part) for key, part in parts.items()}
        message.update(changed)  # type: ignore[typeddict-item]  # the keys of parts are those of messages
        self._add_workers(message)
        self._add_spans(message)
        self._add_steps(message)
        self._add_rows(message)
        if not message and not self._is_new:
            return None
        message["reset"], self._is_new = self._is_new, False
        message["now"] = rounded(self._job.now)
        return message

    def _add_workers(self, message: Message) -> None:
        workers = self._job.workers
        is_reset = self._is_new or workers.dropped != self._dropped
        if is_reset or workers.version != self._workers:
            message["workers"] = [one.row() for one in workers if is_reset or one.version > self._workers]
            if is_reset:
                message["workersReset"] = True
        self._workers, self._dropped = workers.version, workers.dropped

    def _add_spans(self, message: Message) -> None:
        calls = self._job.calls
        is_reset = self._is_new or calls.merged != self._merged
        if is_reset or len(calls) != self._spans:
            message["spans"] = calls.spans(0 if is_reset else self._spans)
            if is_reset:
                message["spansReset"] = True
        self._spans, self._merged = len(calls), calls.merged

    def _add_steps(self, message: Message) -> None:
        course = self._job.course
        is_reset = self._is_new or course.merged != self._joined
        if is_reset or len(course) != self._steps:
            message["series"] = course.rows(0 if is_reset else self._steps)
            if is_reset:
                message["seriesReset"] = True
        self._steps, self._joined = len(course), course.merged

    def _add_rows(self, message: Message) -> None:
        calls, output = self._job.calls, self._job.output
        if self._is_new or output.seen != self._lines:
            message["log"] = output.rows(self._lines)
        if self._is_new or calls.failures_seen != self._failures:
            message["failures"] = calls.failures(self._failures)
        self._lines, self._failures = output.seen, calls.failures_seen


def _compared(key: str, part: Any) -> Any:
    """Return a part without what changes by itself: readers have a clock, too."""
    return {**part, "seconds": 0.0} if key == "overview" else part
