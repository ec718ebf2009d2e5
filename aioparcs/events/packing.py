"""Many events as one: their lines, compressed, so that a log has room for them."""

from __future__ import annotations

import zlib
from base64 import b64decode, b64encode
from binascii import Error as NotBase64

from aioparcs.events.codec import from_json, to_json
from aioparcs.events.event import Event
from aioparcs.events.samples import Packed

__all__ = ["Packer", "packed_size", "unpacked"]

_LARGEST = 1 << 20  # characters of lines that one event may hold; a hostile one can claim to hold any number
_LEVEL = 6  # of compression


def packed_size(size: int) -> int:
    """Return how many compressed bytes an event may have whose text is to have no more than some characters."""
    return max(0, size * 3 // 4 - 3)


class Packer:
    """
    Compresses events one by one, up to a size.

    Args:
        limit: compressed bytes that they may have.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._compressor = zlib.compressobj(_LEVEL)
        self._pieces: list[bytes] = []
        self._size = 0
        self._lines = 0

    def add(self, event: Event) -> bool:
        """Add an event; return False if it has no room."""
        line = f"{to_json(event)}\n".encode(errors="backslashreplace")
        compressor = self._compressor.copy()
        piece = compressor.compress(line) + compressor.flush(zlib.Z_SYNC_FLUSH)
        if self._size + len(piece) > self._limit or self._lines + len(line) > _LARGEST:
            return False
        self._compressor = compressor
        self._pieces.append(piece)
        self._size += len(piece)
        self._lines += len(line)
        return True

    def packed(self, time: float, dropped: int) -> Packed:
        """Return the events that were added as one; with the number of those that were dropped so far."""
        return Packed(time, b64encode(b"".join(self._pieces)).decode(), dropped)


def unpacked(event: Packed) -> list[Event]:
    """Return the events that one holds, without those that can't be read."""
    try:
        data = zlib.decompressobj().decompress(b64decode(event.data, validate=True), _LARGEST)
    except (zlib.error, NotBase64, ValueError):
        return []
    events = map(from_json, data.decode(errors="replace").split("\n"))
    return [one for one in events if one is not None and not isinstance(one, Packed)]
