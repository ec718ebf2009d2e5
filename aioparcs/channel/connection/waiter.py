"""The future that a receiver awaits: woken without the detour through the event loop's queue."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context
from typing import Any

__all__ = ["InlineFuture"]


class InlineFuture(asyncio.Future[None]):
    """
    A future for one receiver and one wait.

    It is a future for one task, with one difference: `wake` runs the task at once, within the transport's callback
    that brought the frame. A plain future would have the loop call the task in its next iteration, behind one more
    poll of the selector; that is a quarter of a small round trip.
    """

    __slots__ = ("_callback", "_context")
    _callback: Callable[[Any], object]
    _context: Context | None

    def wake(self) -> None:
        """Run the waiting task now; called only from a callback of the loop, never from within another task."""
        if not self.done():
            self.set_result(None)
            if self._context is None:
                self._callback(self)
            else:
                self._context.run(self._callback, self)

    def wake_soon(self) -> None:
        """Run the waiting task in the loop's next iteration."""
        if not self.done():
            self.set_result(None)
            self._call_soon()

    # What a task asks of a future

    def add_done_callback(self, callback: Callable[[Any], object], *, context: Context | None = None) -> None:
        """Add the task's wake-up call."""
        self._callback, self._context = callback, context

    def cancel(self, msg: Any = None) -> bool:
        """Wake the task with a cancellation, unless it was woken already."""
        cancelled = super().cancel(msg)
        if cancelled:
            self._call_soon()
        return cancelled

    def _call_soon(self) -> None:
        self.get_loop().call_soon(self._callback, self, context=self._context)
