"""The memory that a launcher keeps for its workers: sent to it once, piece by piece."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator, Sequence
from mmap import PAGESIZE

from aioparcs.channel import FrameConnection
from aioparcs.errors import ParcsError
from aioparcs.messages.keeping import KEEP_WINDOW, LONGEST_PART, Keep, Kept, MemoryPlace
from aioparcs.shared import KeptMemory, SharedPart, place_of

__all__ = ["KeptMemories"]


class KeptMemories:
    """
    What one launcher keeps.

    Args:
        connection: its control connection.
        keeper: how its memory is reached; None if it keeps none.

    Attributes:
        can_keep: whether it keeps any.
    """

    def __init__(self, connection: FrameConnection, keeper: tuple[int, int, bytes] | None) -> None:
        self._connection = connection
        self._keeper = keeper
        self.can_keep = keeper is not None
        self._numbers = itertools.count(1)
        self._turns = asyncio.Lock()  # one after the other
        self._kept = Kept(0, 0, None)  # the last report
        self._changed = asyncio.Event()
        self._is_over = False

    async def keep(self, views: Sequence[memoryview]) -> KeptMemory | None:
        """
        Send the launcher copies of buffers; return None if it can't keep them. They are read until this returns.

        Cancelling it has what was sent released.
        """
        keeper, places = self._keeper, [place_of(view) for view in views]
        if keeper is None or None in places:
            return None
        number = next(self._numbers)
        try:
            async with self._turns:
                place = await self._send(number, views)
        except ParcsError:  # the connection has ended, and the workers with it
            return None
        except BaseException:
            self._release(number)
            raise
        if place is None:
            self._release(number)
            return None
        parts, offset = {}, 0
        for where, view in zip(places, views, strict=True):
            assert where is not None  # see above
            parts[where] = SharedPart(*place, offset, len(view))
            offset += _padded(len(view))
        return KeptMemory(keeper, parts, lambda: self._release(number))

    def handle(self, report: Kept) -> None:
        """Handle a report of the launcher."""
        self._kept = report
        self._changed.set()

    def lose(self) -> None:
        """Stop what is on its way: the connection has ended."""
        self._is_over = True
        self._changed.set()

    async def _send(self, number: int, views: Sequence[memoryview]) -> MemoryPlace | None:
        size, sent = sum(_padded(len(view)) for view in views), 0
        for piece in _pieces(views):
            await self._connection.send_frame(*Keep(number, size, piece).encode())
            sent += len(piece)
            if await self._wait_taken(number, sent - (KEEP_WINDOW - 1) * LONGEST_PART) is None:
                return None
        return await self._wait_taken(number, size)

    async def _wait_taken(self, number: int, size: int) -> MemoryPlace | None:
        """Wait until the launcher has taken so many bytes; return where they are, None if it can't keep them."""
        if size <= 0:
            return MemoryPlace(0, 0)
        while not self._is_over:
            kept = self._kept
            if kept.memory == number and (kept.place is None or kept.taken >= size):
                return kept.place
            self._changed.clear()
            await self._changed.wait()
        return None

    def _release(self, number: int) -> None:
        self._connection.post_frame(*Keep(number, 0).encode())


def _padded(size: int) -> int:
    """Return the bytes of whole pages that hold so many: the next buffer begins at a page, as arrays like it."""
    return -(-size // PAGESIZE) * PAGESIZE


def _pieces(views: Sequence[memoryview]) -> Iterator[bytes]:
    for view in views:
        for begin in range(0, len(view), LONGEST_PART):
            piece = bytes(view[begin : begin + LONGEST_PART])
            yield piece.ljust(_padded(len(piece)), b"\0")
