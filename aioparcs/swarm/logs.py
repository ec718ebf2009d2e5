"""Docker's log streams, taken apart."""

from __future__ import annotations

import struct
from datetime import datetime
from typing import NamedTuple

__all__ = ["LogLine", "parse_logs", "unix_time"]

# A frame of Docker's multiplexed streams: 1 for stdout or 2 for stderr, three zeros, the length.
_HEADER = struct.Struct(">BxxxI")


class LogLine(NamedTuple):
    """
    One line that a task printed.

    Attributes:
        text: the line.
        error: True if it went to standard error.
        time: when, as Docker writes it (RFC 3339 with nanoseconds), "" if that wasn't asked for.
    """

    text: str
    error: bool
    time: str = ""


def parse_logs(data: bytes, *, timestamps: bool = False) -> list[LogLine]:
    """Read the answer of a log request for containers without a terminal; with ``timestamps`` in their order."""
    lines = []
    position = 0
    while position + _HEADER.size <= len(data):
        stream, size = _HEADER.unpack_from(data, position)
        position += _HEADER.size
        for text in data[position : position + size].decode(errors="replace").splitlines():
            lines.append(_line(text, stream == 2, timestamps))
        position += size
    return sorted(lines, key=lambda line: line.time) if timestamps else lines


def unix_time(time: str) -> str:
    """Write a line's time as a log request wants it, in seconds since 1970 with nanoseconds; "0" stays as it is."""
    if time == "0":
        return time
    seconds, _, fraction = time.rstrip("Z").partition(".")
    return f"{datetime.fromisoformat(f'{seconds}+00:00').timestamp():.0f}.{fraction:0<9}"


def _line(text: str, error: bool, timestamps: bool) -> LogLine:
    if not timestamps:
        return LogLine(text, error)
    time, _, text = text.partition(" ")
    return LogLine(text, error, time)
