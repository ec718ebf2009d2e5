"""The guard against errors of the display itself: the job goes on, and the first one is reported in one line."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any

from aioparcs.display.text import sanitize, write_line
from aioparcs.engine import Observer, PoolState

__all__ = ["Shield", "guarded"]


_reported: set[tuple[str, int]] = set()  # places in the code whose error was reported


def guarded(function: Callable[..., object], *args: Any) -> None:
    """Call code of a display; report an error of it in one line, once for each place, and don't raise it."""
    try:
        function(*args)
    except Exception as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        place = frame.filename, frame.lineno or 0
        if place not in _reported:
            _reported.add(place)
            what = " ".join(f"{type(error).__name__}: {error}".split())
            write_line(f"the display failed, the job goes on: {sanitize(what, color=False)} ({place[0]}:{place[1]})")


class Shield(Observer):
    """
    An observer that passes all events on to another one, whose errors don't affect the job.

    Code that reports events takes exceptions for errors of a peer, which those of a display are not.

    Args:
        observer: the one that shows the job.
    """

    def __init__(self, observer: Observer) -> None:
        self._observer = observer

    def started(self, module: str, workers: range) -> None:
        guarded(self._observer.started, module, workers)

    def placed(self, module: str, workers: range, node: str) -> None:
        guarded(self._observer.placed, module, workers, node)

    def connected(self, module: str, worker: int) -> None:
        guarded(self._observer.connected, module, worker)

    def ended(self, module: str, worker: int, error: str | None) -> None:
        guarded(self._observer.ended, module, worker, error)

    def stopped(self, module: str, worker: int) -> None:
        guarded(self._observer.stopped, module, worker)

    def progress(self, module: str, worker: int, done: float, total: float) -> None:
        guarded(self._observer.progress, module, worker, done, total)

    def pooled(self, state: PoolState) -> None:
        guarded(self._observer.pooled, state)

    def output(self, module: str, worker: int | None, line: str) -> None:
        guarded(self._observer.output, module, worker, line)

    def warning(self, module: str, text: str) -> None:
        guarded(self._observer.warning, module, text)

    def note(self, module: str, text: str) -> None:
        guarded(self._observer.note, module, text)
