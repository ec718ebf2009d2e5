"""The timer of a job's deadlines."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

__all__ = ["DeadlineTimer"]


class DeadlineTimer:
    """
    A timer that is set to one deadline at a time.

    Args:
        on_deadline: called at the deadline.
    """

    def __init__(self, on_deadline: Callable[[], object]) -> None:
        self._on_deadline = on_deadline
        self._deadline: float | None = None
        self._timer: asyncio.TimerHandle | None = None  # set to that deadline

    def set(self, deadline: float | None) -> None:
        """Set it to another deadline, a time of the loop, or to none."""
        if deadline == self._deadline:
            return
        if self._timer:
            self._timer.cancel()
        self._deadline, self._timer = deadline, None
        if deadline is not None:
            self._timer = asyncio.get_running_loop().call_at(deadline, self._fire)

    def _fire(self) -> None:
        # uvloop's timers have whole milliseconds: one that fires early leaves its deadline, and is set again.
        self._deadline = self._timer = None
        self._on_deadline()
