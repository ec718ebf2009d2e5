"""The memory of large messages: one budget for all channels of this process, and each connection's part of it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection
from typing import Any

__all__ = ["LARGE", "RECEIVING", "Budget", "MessageMemory"]

# A message from this size on counts against the budget.
LARGE = 1 << 20


class Budget:
    """
    A count of bytes, and the receivers that wait for it to fall.

    A message larger than the whole budget passes when nothing else holds any: one message at a time is better
    than none. A message that a receiver waits for passes always: what holds the budget may be messages that
    are received later, or one whose sender has stopped in the middle of it.
    """

    def __init__(self) -> None:
        self.reserved = 0
        self._waiting: deque[Callable[[], None]] = deque()

    def take(self, size: int, limit: int, *, force: bool = False) -> bool:
        """Reserve ``size`` bytes for a message if they fit, or always with ``force``; return True if reserved."""
        if self.reserved and self.reserved + size > limit and not force:
            return False
        self.reserved += size
        return True

    def release(self, size: int) -> None:
        """Release bytes, and call the receivers that wait."""
        self.reserved -= size
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


class MessageMemory:
    """
    What the large messages of one connection hold of the budget.

    Args:
        limit: bytes that the large messages of all channels may hold.
        max_buffers: bytes that the buffers of one message may have.

    Attributes:
        limit, max_buffers: the same.
        expected: what the program waits for besides messages: its calls.
        stalled: True while the message that has begun waits for memory.
        retry: tries again to begin that message; the connection's reader sets it.
    """

    def __init__(self, limit: int, max_buffers: int) -> None:
        self.limit = limit
        self.max_buffers = max_buffers
        self.expected: Collection[Any] = ()
        self.stalled = False
        self.retry: Callable[[], None]
        self._reserved = 0
        self._wanted = 0  # how many wait for what comes next, whatever it is

    def reserve(self, size: int, *, is_awaited: bool) -> bool:
        """Reserve the bytes of a large message, always if a program waits for it; return True if reserved."""
        force = is_awaited or self._wanted > 0 or bool(self.expected)
        self.stalled = not RECEIVING.take(size, self.limit, force=force)
        if not self.stalled:
            self._reserved += size
        return not self.stalled

    def reserve_awaited(self) -> None:
        """Reserve the memory that a large message waits for: a program is about to receive it."""
        self._wanted += 1
        self.retry()
        self._wanted -= 1

    def reserve_always(self, count: int) -> None:
        """Reserve memory for every message, also beyond the limit, while calls with 1 outnumber those with -1."""
        self._wanted += count
        self.retry()

    def add(self, size: int) -> None:
        """Account for a message whose bytes were reserved elsewhere."""
        if size >= LARGE:
            self._reserved += size

    def release(self, size: int) -> None:
        """Release the bytes of a message that was taken."""
        if size >= LARGE and self._reserved:
            self._reserved -= size
            RECEIVING.release(size)

    def close(self) -> None:
        """Release the memory of half-received messages and of those that were never taken: the connection is gone."""
        reserved, self._reserved = self._reserved, 0
        if reserved:
            RECEIVING.release(reserved)
