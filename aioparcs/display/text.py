"""The text of workers and peers, made safe to print, and lines for standard error; those shown last are remembered."""

from __future__ import annotations

import os
import re
import sys
import unicodedata
from collections import deque

__all__ = ["has_colors", "origin", "remember", "sanitize", "were_shown", "write_line"]

# Sequences of ECMA-48, introduced by ESC or by the C1 control that stands for ESC and a letter. No part of a pattern
# matches what introduces the next sequence, so that the time is in proportion to the text. `re` compiles it when a line
# needs it.
_SEQUENCE = (
    r"(?P<color>\x1b\[[0-9;:]*m)"
    r"|(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # CSI: colours, movements, erasing
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x80-\x9f]*(?:\x07|\x1b\\|\x9c)"  # OSC and the like: titles
    r"|\x1b[ -/]*[0-~]?"
)
_FORBIDDEN = ("Cc", "Cf", "Cs", "Zl", "Zp")  # categories: controls, invisible formats, lone surrogates, ends of lines
# Formats that are part of words and emoji, and the format characters that have a shape of their own.
_ALLOWED = frozenset(
    "\t\u200c\u200d\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd"
)

# Lines of workers and launchers that are still in sight, about: an error need not quote them again.
_recent: deque[str] = deque(maxlen=60)
remember = _recent.append


class _Printable(dict[int, int | None]):
    """A table for `str.translate` that leaves out the characters that can't be printed safely."""

    def __missing__(self, code: int) -> int | None:
        if unicodedata.category(chr(code)) not in _FORBIDDEN or chr(code) in _ALLOWED:
            return code  # not cached: there are a million of these
        self[code] = None
        return None


_PRINTABLE = _Printable({code: code for code in (9, *range(32, 127))})


def sanitize(text: str, *, color: bool) -> str:
    """
    Return a line without what would move the cursor, clear, ring, reorder or break it.

    Escape sequences, control characters, bidirectional and other invisible format characters and ends of lines are
    left out; so is what a carriage return has overwritten. Tabs and the joiners within words stay.

    Args:
        text: a line as a program printed it, without its end.
        color: whether its colours stay; they end with the line.
    """
    if text.isprintable():
        return text
    text = text.rstrip("\r").rpartition("\r")[2]
    if not color:
        return re.sub(_SEQUENCE, "", text).translate(_PRINTABLE)
    parts: list[str] = []
    end = 0
    for match in re.finditer(_SEQUENCE, text):
        parts += text[end : match.start()].translate(_PRINTABLE), match["color"] or ""
        end = match.end()
    colored = "".join(parts) + text[end:].translate(_PRINTABLE)
    return f"{colored}\x1b[0m" if "\x1b" in colored else colored


def origin(module: str, worker: int | None) -> str:
    """Return the name before the lines that a worker, or its launcher (None), has printed."""
    return sanitize(module if worker is None else f"{module}:{worker}", color=False)


def were_shown(lines: tuple[str, ...]) -> bool:
    """Return whether lines were shown a moment ago."""
    return set(lines) <= set(_recent)


def has_colors() -> bool:
    """Return whether standard error is a terminal that shows colours."""
    try:
        is_terminal = sys.stderr.isatty()
    except (AttributeError, ValueError):  # there is none, or it is closed
        return False
    return is_terminal and os.environ.get("TERM") not in ("dumb", "unknown") and not os.environ.get("NO_COLOR")


def write_line(line: str) -> None:
    """Write a line to standard error, in one piece; ignore a stream that is closed, or whose reader is gone."""
    try:
        sys.stderr.write(f"{line}\n")  # one write: a line is never torn by another thread's
        sys.stderr.flush()
    except (OSError, ValueError, AttributeError):
        pass  # the reader is gone, the stream is closed, or there is none
