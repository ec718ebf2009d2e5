"""The base of both displays: a view of the job, and a line for each important event."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator

from aioparcs.display.detail import Clock, Detail
from aioparcs.display.text import remember
from aioparcs.display.view import JobView, Pool
from aioparcs.events import (
    Event,
    LogLines,
    Notice,
    WorkerConnected,
    WorkerExited,
    WorkersPlaced,
    WorkersRequested,
    WorkerStopped,
)

__all__ = ["FAILURES", "Display"]

FAILURES = 10  # workers of a module whose failures get a line each; hundreds of them fail alike


class Display(ABC):
    """
    A subscriber that counts all events, and prints a line for important ones.

    Args:
        detail: how much it prints.
        clock: the clock that stamps the events; by default that of this process.

    Attributes:
        view: the state of the job.
        begun: when the display was created.
    """

    def __init__(self, detail: Detail, clock: Clock | None = None) -> None:
        self.view = JobView()
        self._detail = detail
        self._clock = clock or Clock()
        self.begun = self.now

    def __call__(self, event: Event) -> None:
        """Show an event."""
        if isinstance(event, LogLines):
            self._print_output(event)
        elif isinstance(event, Notice):
            if event.is_warning or self._detail is not Detail.QUIET:
                self._print(event.module, None, ": ", event.text)
        else:
            for module, worker, text in self._all(event) if self._detail is Detail.VERBOSE else self._failure(event):
                self._line(module, worker, " ", text)
            self._changed(event, self.view.apply(event))

    @property
    def now(self) -> float:
        """The present time."""
        return self._clock.now()

    @property
    def elapsed(self) -> float:
        """Seconds since the display was created."""
        return self.now - self.begun

    def _failure(self, event: Event) -> Iterator[tuple[str, int, str]]:
        """Yield the worker and the reason, if a worker has failed and is one of the first of its module."""
        if isinstance(event, WorkerExited) and event.error is not None:
            count = self.view.of(event.module)
            if count.is_up(event.worker) and count.failed < FAILURES:  # else its start fails, and raises the reason
                yield event.module, event.worker, event.error.partition("\n")[0]

    def _all(self, event: Event) -> Iterator[tuple[str, int, str]]:
        """Yield each worker of an event, and what has become of it."""
        at = f"at {event.time - self.begun:.2f} s"
        match event:
            case WorkersRequested():
                yield from ((event.module, worker, "starting") for worker in event.workers)
            case WorkersPlaced():
                yield from ((event.module, worker, f"placed on {event.node}") for worker in event.workers)
            case WorkerConnected():
                yield event.module, event.worker, f"connected {at}"
            case WorkerStopped():
                yield event.module, event.worker, f"stopped {at}"
            case WorkerExited(module=module, worker=worker, error=error):
                has_failed_to_start = error is not None and not self.view.of(module).is_up(worker)
                reason = (error or f"ended {at}").partition("\n")[0]
                yield module, worker, f"did not start: {reason}" if has_failed_to_start else reason

    def _print_output(self, event: LogLines) -> None:
        if self._detail is not Detail.QUIET:
            for worker, line in event.lines:
                remember(line)
                self._print(event.module, worker, " | ", line)

    def _print(self, module: str, worker: int | None, separator: str, text: str) -> None:
        for line in text.split("\n"):  # each after its origin, so that none can be forged
            self._line(module, worker, separator, line)

    @abstractmethod
    def _changed(self, event: Event, pool: Pool | None) -> None:
        """Show that the view has changed; ``pool`` is what has, unless it is something else."""

    @abstractmethod
    def _line(self, module: str, worker: int | None, separator: str, text: str) -> None:
        """Print a line after its origin."""
