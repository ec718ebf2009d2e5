"""The calls that a worker has taken in and not begun, and the room for more."""

from __future__ import annotations

import asyncio
from collections.abc import Sized

from aioparcs.channel import Call

__all__ = ["AT_ONCE", "WaitingCalls"]

# Calls that are taken in; the others wait, unread, at the caller's side.
AT_ONCE = 1024


class WaitingCalls:
    """
    The calls that were taken in, have not begun and were not revoked.

    Attributes:
        calls: by id; the loop adds them, and the thread or the task that begins one removes it.
        is_full: True while the loop waits for room; then `notify` is to be called, by the loop.
    """

    def __init__(self) -> None:
        self.calls: dict[int, Call] = {}
        self.is_full = False
        self._room = asyncio.Event()

    def notify(self) -> None:
        """Wake the wait for room: a call was begun, removed or answered."""
        self._room.set()

    async def wait_for_room(self, running: Sized) -> int:
        """Wait until calls may be taken in beside those that run; return how many."""
        while (room := AT_ONCE - len(self.calls) - len(running)) <= 0:
            self._room.clear()
            self.is_full = True
            if len(self.calls) + len(running) >= AT_ONCE:  # still: the thread may have finished some
                await self._room.wait()
            self.is_full = False
        return room
