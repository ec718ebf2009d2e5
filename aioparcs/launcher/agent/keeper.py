"""Memory that the agent keeps for the workers of its launcher, which map it."""

from __future__ import annotations

import os
from collections.abc import Callable

from aioparcs.errors import ProtocolError
from aioparcs.messages.keeping import Keep, Kept, MemoryPlace
from aioparcs.shared.memory import open_memory, seal

__all__ = ["MemoryKeeper"]


class MemoryKeeper:
    """
    Keeps memory until the runner has it released.

    Args:
        report: sends the runner a report.
    """

    def __init__(self, report: Callable[[Kept], None]) -> None:
        self._report = report
        self._memories: dict[int, _Memory | None] = {}  # None for one that there is no room for

    def handle(self, request: Keep) -> None:
        """
        Add a piece of memory, or release it.

        Raises:
            ProtocolError: the pieces are more than the memory.
        """
        number = request.memory
        if not request.size:
            self._release(number)
            return
        if number not in self._memories:
            self._memories[number] = _open(request.size)
        memory = self._memories[number]
        if memory is not None and not memory.add(request.piece):
            self._release(number)
            self._memories[number] = memory = None
        self._report(Kept(number, 0, None) if memory is None else Kept(number, memory.taken, memory.place))

    def close(self) -> None:
        """Release all memory."""
        for number in list(self._memories):
            self._release(number)

    def _release(self, number: int) -> None:
        if memory := self._memories.pop(number, None):
            os.close(memory.place.descriptor)


class _Memory:
    """Memory that comes in pieces."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.taken = 0
        descriptor = open_memory(size)
        self.place = MemoryPlace(descriptor, os.fstat(descriptor).st_ino)

    def add(self, piece: bytes) -> bool:
        """Add the next piece; return False if there is no room for it."""
        if len(piece) > self.size - self.taken:
            raise ProtocolError(f"pieces of memory have more than its {self.size:,} bytes")
        left = memoryview(piece)
        try:
            while left:
                count = os.pwrite(self.place.descriptor, left, self.taken)
                left, self.taken = left[count:], self.taken + count
            if self.taken == self.size:
                seal(self.place.descriptor)
        except OSError:
            return False
        return True


def _open(size: int) -> _Memory | None:
    try:
        return _Memory(size)
    except OSError:
        return None
