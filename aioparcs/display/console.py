"""The default observer of a job, such as in a notebook: it prints few lines, and loads no library."""

from __future__ import annotations

import os
from time import monotonic

from aioparcs.display.pools import Pools
from aioparcs.display.shown import remember
from aioparcs.display.text import has_colors, origin, sanitize, write_line
from aioparcs.display.throttle import PoolLines
from aioparcs.engine import Observer, PoolState
from aioparcs.errors import SettingError

__all__ = ["Console", "is_progress_wanted"]


def is_progress_wanted() -> bool:
    """
    Return whether a program shows its progress by default, from ``PARCS_PROGRESS``.

    Raises:
        SettingError: it is neither ``on`` nor ``off``.
    """
    value = os.environ.get("PARCS_PROGRESS") or "on"
    if value not in ("on", "off"):
        raise SettingError(f"PARCS_PROGRESS={value!r} is neither 'on' nor 'off'")
    return value == "on"


class Console(Observer):
    """
    Prints workers' output, notes, and the progress of pools that take long, to standard error.

    Raises:
        SettingError: ``PARCS_PROGRESS`` has an impossible value.
    """

    def __init__(self) -> None:
        self._color = has_colors()
        self._pools = Pools()
        self._lines = PoolLines(short=False) if is_progress_wanted() else None

    def pooled(self, state: PoolState) -> None:
        """Print a line on the pool's progress once in a while."""
        if self._lines:
            now = monotonic()
            pool = self._pools.update(state, now)
            for line in self._lines.about(pool, now) if pool else ():
                write_line(line)

    def output(self, module: str, worker: int | None, line: str) -> None:
        """Print the line after its origin."""
        remember(line)
        self._print(f"{origin(module, worker)} | ", line)

    def note(self, module: str, text: str) -> None:
        """Print the note."""
        self._print(f"{origin(module, None)}: ", text)

    def _print(self, prefix: str, text: str) -> None:
        for line in text.split("\n"):  # each after its origin, so that none can be forged
            write_line(prefix + sanitize(line, color=self._color))
