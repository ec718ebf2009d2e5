"""The messages about a job for one reader: first all of it, then what has changed."""

from __future__ import annotations

from typing import Any, NamedTuple

from aioparcs.monitor.explain import explained
from aioparcs.monitor.live import LiveJob
from aioparcs.monitor.records import Message, rounded

__all__ = ["JobStream", "Position"]


class Position(NamedTuple):
    """
    How much of a job a reader knows: the parts that were sent, and the numbers or versions of rows.

    ``dropped``, ``merged`` and ``joined`` are how often rows were dropped or merged before that.
    """

    parts: dict[str, Any]
    workers: int = 0
    dropped: int = 0
    spans: int = 0
    merged: int = 0
    steps: int = 0
    joined: int = 0
    lines: int = 0
    failures: int = 0


_NOTHING = Position({})


class JobStream:
    """
    What one reader knows of a job.

    Args:
        job: the job.

    Attributes:
        position: how much it knows, None for nothing. Readers of one job at one position get the same message.
    """

    def __init__(self, job: LiveJob) -> None:
        self._job = job
        self.position: Position | None = None

    def next(self) -> Message | None:
        """Return the next message; None if nothing has changed since the last one."""
        is_new, seen = self.position is None, self.position or _NOTHING
        parts = {**self._job.parts(), "explain": explained(self._job)}
        now = self.position = self._present(parts)
        message: Message = {}
        changed = {key: part for key, part in parts.items() if now.parts[key] != seen.parts.get(key)}
        message.update(changed)  # type: ignore[typeddict-item]  # the keys of parts are those of messages
        self._add_workers(message, seen, now, is_new or seen.dropped != now.dropped)
        self._add_spans(message, seen, now, is_new or seen.merged != now.merged)
        self._add_steps(message, seen, now, is_new or seen.joined != now.joined)
        if is_new or now.lines != seen.lines:
            message["log"] = self._job.output.rows(seen.lines)
        if is_new or now.failures != seen.failures:
            message["failures"] = self._job.calls.failures(seen.failures)
        if not message and not is_new:
            return None
        message["reset"] = is_new
        message["now"] = rounded(self._job.now)
        return message

    def _present(self, parts: dict[str, Any]) -> Position:
        workers, calls, course = self._job.workers, self._job.calls, self._job.course
        return Position(
            {key: _compared(key, part) for key, part in parts.items()},
            *(workers.version, workers.dropped),
            *(len(calls), calls.merged),
            *(len(course), course.merged),
            *(self._job.output.seen, calls.failures_seen),
        )

    def _add_workers(self, message: Message, seen: Position, now: Position, is_reset: bool) -> None:
        if is_reset or now.workers != seen.workers:
            message["workers"] = [one.row() for one in self._job.workers if is_reset or one.version > seen.workers]
            if is_reset:
                message["workersReset"] = True

    def _add_spans(self, message: Message, seen: Position, now: Position, is_reset: bool) -> None:
        if is_reset or now.spans != seen.spans:
            message["spans"] = self._job.calls.spans(0 if is_reset else seen.spans)
            if is_reset:
                message["spansReset"] = True

    def _add_steps(self, message: Message, seen: Position, now: Position, is_reset: bool) -> None:
        if is_reset or now.steps != seen.steps:
            # A chart begins with the job: one that has ended within a second has only one step.
            message["series"] = [[0.0] * 8] * is_reset + self._job.course.rows(0 if is_reset else seen.steps)
            if is_reset:
                message["seriesReset"] = True


def _compared(key: str, part: Any) -> Any:
    """Return a part without what changes by itself: readers have a clock, too."""
    return {**part, "seconds": 0.0} if key == "overview" else part
