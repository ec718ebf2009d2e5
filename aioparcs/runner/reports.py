"""The reports on workers that a job's state decides: to their handles, and to those who watch the job."""

from __future__ import annotations

from time import monotonic

from aioparcs.events import (
    EventBus,
    LogLines,
    Notice,
    WorkerConnected,
    WorkerProgress,
    WorkersPlaced,
    WorkersWaiting,
)
from aioparcs.messages.launcher import Log
from aioparcs.runner.registry import JobRegistry
from aioparcs.runner.state import stimuli
from aioparcs.runner.state.records import LONGEST_LINE
from aioparcs.runner.state.stimuli import Action

__all__ = ["report"]


def report(action: Action, registry: JobRegistry, events: EventBus) -> None:
    """Publish what an action reports, or record it on the worker's handle; ignore actions that are no reports."""
    match action:
        case stimuli.ReportConnected(module, number):
            events.publish(WorkerConnected(monotonic(), module, number))
        case stimuli.SetNode(module, numbers, node):
            for number in numbers:
                registry.workers[number].node = node
            events.publish(WorkersPlaced(monotonic(), module, range(numbers[0], numbers[-1] + 1), node))
        case stimuli.ShowProgress(module, progress):
            events.publish(WorkerProgress(monotonic(), module, *progress))
        case stimuli.ShowWaits(module, count, reason):
            events.publish(WorkersWaiting(monotonic(), module, count, reason))
        case stimuli.ShowLog(module, log):
            _show_log(module, log, events)


def _show_log(module: str, log: Log, events: EventBus) -> None:
    if log.lines:
        lines = tuple((line.worker, line.text[:LONGEST_LINE]) for line in log.lines)
        events.publish(LogLines(monotonic(), module, lines))
    if log.dropped:
        lines_were = "line of output was" if log.dropped == 1 else "lines of output were"
        text = f"{log.dropped:,} {lines_were} lost: the workers print faster than their launcher can send"
        events.publish(Notice(monotonic(), module, text))
