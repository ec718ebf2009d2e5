"""The few lines of a runner that has no display."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aioparcs.display.text import has_colors, origin, remember, sanitize, write_line
from aioparcs.events import Event, LogLines, Notice, PoolProgress

if TYPE_CHECKING:
    from aioparcs.display.throttle import PoolLines
    from aioparcs.display.view import JobView

__all__ = ["Console"]


class Console:
    """
    The subscriber of a runner that has no other, such as in a notebook: it prints few lines, and loads no library.

    These are workers' output, notices, and the progress of pools that take long.

    Args:
        progress: whether it prints the progress of pools.
    """

    def __init__(self, *, progress: bool) -> None:
        self._color = has_colors()
        self._has_progress = progress
        self._pools: tuple[JobView, PoolLines] | None = None  # once there is one

    def __call__(self, event: Event) -> None:
        """Print an event, if it is worth a line."""
        if isinstance(event, LogLines):
            for worker, line in event.lines:
                remember(line)
                self._print(f"{origin(event.module, worker)} | ", line)
        elif isinstance(event, Notice):
            self._print(f"{origin(event.module, None)}: ", event.text)
        elif self._has_progress and isinstance(event, PoolProgress):
            self._print_progress(event)

    def _print_progress(self, event: PoolProgress) -> None:
        if self._pools is None:
            from aioparcs.display.throttle import PoolLines
            from aioparcs.display.view import JobView  # which a program without pools doesn't need

            self._pools = JobView(), PoolLines(short=False)
        view, lines = self._pools
        if pool := view.apply(event):
            for line in lines.about(pool, event.time):
                write_line(line)

    def _print(self, prefix: str, text: str) -> None:
        for line in text.split("\n"):  # each after its origin, so that none can be forged
            write_line(prefix + sanitize(line, color=self._color))
