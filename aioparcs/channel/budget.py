"""How much memory the large messages of all channels of this process may hold together."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

__all__ = ["RECEIVING", "Budget"]


class Budget:
    """
    A count of bytes, and who waits for it to fall.

    A message larger than the whole budget passes when nothing else holds any: one message at a time is better
    than none. So does one that somebody expects while no other is on its way, because what holds the rest may be
    messages that nobody is going to receive before.
    """

    def __init__(self) -> None:
        self.held = 0
        self.arriving = 0
        self._waiting: deque[Callable[[], None]] = deque()

    def take(self, size: int, limit: int, *, force: bool = False, expected: bool = False) -> bool:
        """Hold ``size`` bytes for a message if they fit, or whatever the count is with ``force``; False if not."""
        if self.held and self.held + size > limit and not force and (self.arriving or not expected):
            return False
        self.held += size
        self.arriving += 1
        return True

    def arrived(self) -> None:
        """Be told that a message for which bytes were taken is complete, or will never be."""
        self.arriving -= 1
        if not self.arriving:
            self.retry()

    def release(self, size: int) -> None:
        """Give bytes back, and let those who wait try again."""
        self.held -= size
        self.retry()

    def retry(self) -> None:
        """Let those who wait try again: bytes were given back, or somebody is about to receive."""
        waiting, self._waiting = self._waiting, deque()
        for retry in waiting:
            retry()

    def wait(self, retry: Callable[[], None]) -> None:
        """Have ``retry`` called, once, when bytes were given back."""
        self._waiting.append(retry)


# The memory is the process's, so the count is too.
RECEIVING = Budget()
