"""How much memory the large messages of all channels of this process may hold together."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

__all__ = ["RECEIVING", "Budget"]


class Budget:
    """
    A count of bytes, and who waits for it to fall.

    A message larger than the whole budget passes when nothing else holds any: one message at a time is better
    than none. A message whose channel somebody waits for passes always: what holds the budget may be messages that
    are received later, or one whose sender has stopped in the middle of it.
    """

    def __init__(self) -> None:
        self.held = 0
        self._waiting: deque[Callable[[], None]] = deque()

    def take(self, size: int, limit: int, *, force: bool = False) -> bool:
        """Hold ``size`` bytes for a message if they fit, or whatever the count is with ``force``; False if not."""
        if self.held and self.held + size > limit and not force:
            return False
        self.held += size
        return True

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
