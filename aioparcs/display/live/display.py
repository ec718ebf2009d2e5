"""The display of terminals, drawn by rich."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.style import Style

from aioparcs.display.base import Display
from aioparcs.display.detail import Clock, Detail
from aioparcs.display.live.status_table import StatusTable
from aioparcs.display.live.terminal import Terminal
from aioparcs.display.text import origin, sanitize
from aioparcs.display.view import Pool
from aioparcs.events import Event, Snapshot, WorkersRequested

__all__ = ["LiveDisplay", "live_display"]


@contextmanager
def live_display(detail: Detail, clock: Clock | None) -> Iterator[LiveDisplay | None]:
    """Provide a display that draws on the terminal of stderr until the block ends; None if it can't draw there."""
    console = Console(file=sys.stderr, highlight=False)
    if not console.is_terminal or console.is_dumb_terminal:
        yield None
        return
    display = LiveDisplay(console, detail, clock)
    with display.terminal.shared():
        yield display


class LiveDisplay(Display):
    """
    Draws a line for each module and each pool at the foot of a terminal: workers, progress, and the time.

    Args:
        console: the terminal.
        detail: how much it prints.
        clock: see `Display`.
    """

    def __init__(self, console: Console, detail: Detail, clock: Clock | None = None) -> None:
        super().__init__(detail, clock)
        self._color = console.color_system is not None and not console.no_color
        self._console = console
        self._prefixes: dict[tuple[str, int | None], str] = {}
        self.table = StatusTable(self)
        self.terminal = Terminal(console, self.table)

    def _changed(self, event: Event, pool: Pool | None) -> None:
        if pool or isinstance(event, WorkersRequested | Snapshot):
            self.terminal.draw()

    def _line(self, module: str, worker: int | None, separator: str, text: str) -> None:
        self.terminal.print(f"{self._prefix(module, worker)}{separator}{sanitize(text, color=self._color)}")

    def _prefix(self, module: str, worker: int | None) -> str:
        known = self._prefixes.get((module, worker))
        if known is None:
            name = origin(module, worker)
            style = Style.parse(self.table.color(module))
            known = style.render(name, color_system=self._console._color_system) if self._color else name
            self._prefixes[module, worker] = known
        return known
