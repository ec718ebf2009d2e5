"""A process's output, cut into lines."""

from __future__ import annotations

from collections import deque

__all__ = ["Lines"]

# Bytes after which a line without an end is passed on anyway.
_LONGEST = 8 << 10


class Lines:
    """
    Cuts what a process prints into lines, as a terminal would show them, and remembers the last ones.

    Args:
        keep: how many are remembered.

    Attributes:
        last: the last lines.
    """

    def __init__(self, keep: int) -> None:
        self.last: deque[str] = deque(maxlen=keep)
        self._unfinished = b""

    def feed(self, data: bytes) -> list[str]:
        """Add bytes; returns the lines that they finish."""
        *lines, self._unfinished = (self._unfinished + data).split(b"\n")
        texts = [_text(piece) for line in lines for piece in _cut(line)]
        if len(self._unfinished) > _LONGEST:
            *pieces, self._unfinished = _cut(self._unfinished)
            texts += map(_text, pieces)
        self.last.extend(texts)
        return texts

    def finish(self) -> list[str]:
        """Return the last line, if it has no end."""
        return self.feed(b"\n") if self._unfinished else []


def _cut(line: bytes) -> list[bytes]:
    if len(line) <= _LONGEST:
        return [line]
    return [line[i : i + _LONGEST] for i in range(0, len(line), _LONGEST)]


def _text(line: bytes) -> str:
    # A carriage return begins the line again: of a progress bar's many states the last one counts.
    return line.rstrip(b"\r").rpartition(b"\r")[2].decode(errors="replace")
