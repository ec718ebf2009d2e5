"""The parser of Docker's log streams."""

from __future__ import annotations

import struct
from datetime import UTC, datetime
from typing import NamedTuple

__all__ = ["LogLine", "parse_logs"]

# A frame of Docker's multiplexed streams: what it is of, three zeros, the length.
_HEADER = struct.Struct(">BxxxI")
_STDOUT, _STDERR, _ERROR = 1, 2, 3  # the last is Docker's own: it can't read on


class LogLine(NamedTuple):
    """
    One line that a task printed.

    Attributes:
        text: the line.
        error: True if it went to standard error.
        time: when, in nanoseconds since 1970.
    """

    text: str
    error: bool
    time: int


def parse_logs(data: bytes) -> tuple[list[LogLine], str]:
    """
    Return what the answer to a log request holds, with timestamps, of containers without a terminal.

    Returns:
        The lines, in order, and why Docker could not read on: "" if it could.
    """
    lines, failure = [], ""
    position = 0
    while position + _HEADER.size <= len(data):
        stream, size = _HEADER.unpack_from(data, position)
        position += _HEADER.size
        if position + size > len(data):
            break  # its end was not received
        # A frame is one line, and only \n ends it: a \r or a form feed is the program's own.
        text = data[position : position + size].decode(errors="replace").removesuffix("\n")
        if stream in (_STDOUT, _STDERR):
            lines.append(_line(text, stream == _STDERR))
        elif stream == _ERROR:
            failure = text.rpartition("following reasons: ")[2].removeprefix("Error grabbing logs: ").strip()
        position += size
    return sorted(lines, key=lambda line: line.time), failure


def _line(text: str, error: bool) -> LogLine:
    time, _, text = text.partition(" ")  # RFC 3339 with nanoseconds, in UTC: more digits than datetime keeps
    seconds, _, fraction = time.removesuffix("Z").partition(".")
    moment = datetime.fromisoformat(seconds).replace(tzinfo=UTC)
    return LogLine(text, error, int(moment.timestamp()) * 10**9 + int(fraction.ljust(9, "0")[:9]))
