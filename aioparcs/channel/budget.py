"""The memory budget of large messages, shared by all channels of this process."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

__all__ = ["RECEIVING", "Budget"]


class Budget:
    """
    A count of bytes, and the receivers that wait for it to fall.

    A message larger than the whole budget passes when nothing else holds any: one message at a time is better
    than none. A message that a receiver waits for passes always: what holds the budget may be messages that
    are received later, or one whose sender has stopped in the middle of it.
    """

    def __init__(self) -> None:
        self.held = 0
        self._waiting: deque[Callable[[], None]] = deque()

    def take(self, size: int, limit: int, *, force: bool = False) -> bool:
        """Reserve ``size`` bytes for a message if they fit, or always with ``force``; return True if reserved."""
        if self.held and self.held + size > limit and not force:
            return False
        self.held += size
        return True

    def release(self, size: int) -> None:
        """Release bytes, and call the receivers that wait."""
        self.held -= size
        self.retry()

    def retry(self) -> None:
        """Call the receivers that wait: bytes were released, or a program is about to receive."""
        waiting, self._waiting = self._waiting, deque()
        for retry in waiting:
            retry()

    def wait(self, retry: Callable[[], None]) -> None:
        """Call ``retry`` once, after bytes were released."""
        self._waiting.append(retry)


# The memory is the process's, so the count is too.
RECEIVING = Budget()
