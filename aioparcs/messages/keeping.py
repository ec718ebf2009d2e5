"""The messages about memory that a launcher keeps for its workers, which share it."""

from typing import Annotated, Any, NamedTuple, Self

from aioparcs.messages.fields import Bounded, Count, Nullable, RecordType, pack, unpack
from aioparcs.wire import FrameType

__all__ = ["KEEP_WINDOW", "LONGEST_PART", "Keep", "Kept", "MemoryPlace"]

# Bytes of memory that one message may have, and how many of these messages a runner sends ahead.
LONGEST_PART, KEEP_WINDOW = 256 << 10, 8


class Keep(NamedTuple):
    """
    The request to keep memory, piece by piece, or to release it.

    Attributes:
        memory: the memory's number, each one higher than all before.
        size: its bytes in all; 0 to release it.
        piece: the next of them.
    """

    memory: Count
    size: Count
    piece: Annotated[bytes, Bounded("bytes, at most 256 KiB", bytes, LONGEST_PART)] = b""

    def encode(self) -> tuple[FrameType, bytes]:
        return FrameType.MEMORY, pack(self)

    @classmethod
    def decode(cls, body: Any) -> Self:
        return unpack(cls, "MEMORY", body)


class MemoryPlace(NamedTuple):
    """
    The place where workers open memory.

    Attributes:
        descriptor: its number in the launcher's process.
        inode: the number of the memory in the kernel.
    """

    descriptor: Count
    inode: Count


class Kept(NamedTuple):
    """
    The report on memory.

    Attributes:
        memory: its number.
        taken: how many of its bytes are there.
        place: where it is; None if the launcher can't keep it.
    """

    memory: Count
    taken: Count
    place: Annotated[MemoryPlace | None, Nullable(RecordType(MemoryPlace))]

    def encode(self) -> tuple[FrameType, bytes]:
        return FrameType.MEMORY, pack(self)

    @classmethod
    def decode(cls, body: Any) -> Self:
        return unpack(cls, "MEMORY", body)
