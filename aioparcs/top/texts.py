"""Numbers, bars and workers' text, as they are drawn."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from aioparcs.display import sanitize

__all__ = ["STYLES", "bar", "colored", "count", "elapsed", "fitted", "percent", "plain", "size", "spark", "state"]

# Names of the terminal's own colours: they suit its background. The words say the same where there are none.
STYLES = {
    "running": "green", "done": "", "failed": "red", "killed": "red",
    "starting": "yellow", "waiting": "", "connected": "", "calling": "green", "lost": "red", "stopped": "dim",
    "ended": "dim", "unknown": "dim",
}  # fmt: skip
_LEVELS = "▁▂▃▄▅▆▇█"
_FULL, _EMPTY = "━", "─"  # the heavy line and the light one: they differ without colours, too


def plain(text: str) -> str:
    """Return a program's text in one safe line without colours."""
    return sanitize(text, color=False).expandtabs(4)


def colored(text: str) -> Text:
    """Return a line that a program printed, safe, with its colours."""
    safe = sanitize(text, color=True).expandtabs(4)
    return Text.from_ansi(safe) if "\x1b" in safe else Text(safe)


def state(word: str) -> Text:
    """Return the state of a job or a worker."""
    return Text(word, STYLES.get(word, ""))


def elapsed(seconds: float) -> str:
    """Return a time as text: ``4.2 s``, ``42 s``, ``5:03``, ``1:05:03``, ``2 d 4 h``."""
    if seconds < 99.5:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}:{rest:02}"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours < 48 else f"{hours // 24} d {hours % 24} h"


def count(number: float) -> str:
    """Return a number in at most five characters or so: ``999``, ``12,345``, ``1.2M``."""
    if number < 100_000:
        return f"{number:,.0f}"
    for unit in ("k", "M"):
        number /= 1000
        if number < 1000:
            return f"{number:.0f}{unit}" if number >= 99.5 else f"{number:.1f}{unit}"
    return f"{number / 1000:.1f}G"


def size(number: float) -> str:
    """Return a number of bytes as text: ``512 B``, ``1.2 kB``, ``34 MB``."""
    units = iter(("B", "kB", "MB", "GB"))
    unit = next(units)
    while number >= 999.5 and (larger := next(units, "")):
        number, unit = number / 1000, larger
    return f"{number:.1f} {unit}" if number < 9.95 and unit != "B" else f"{number:.0f} {unit}"


def percent(fraction: float | None) -> str:
    """Return a share as text, "" for an unknown one."""
    return "" if fraction is None else f"{100 * fraction:.0f} %"


def bar(fraction: float | None, width: int, style: str = "green") -> Text:
    """Return a bar; one of an unknown share is empty."""
    filled = 0 if fraction is None else min(width, int(fraction * width + 1e-9))
    return Text.assemble((_FULL * filled, style), (_EMPTY * (width - filled), "dim"))


def spark(values: Sequence[float], width: int, least: float = 0.0) -> str:
    """
    Return the last values as a line of small columns.

    Args:
        values: the values.
        width: how many of them.
        least: what the full height is at least; else it is the highest value.
    """
    last = values[-width:]
    most = max([least, *last])
    if most <= 0:
        return _LEVELS[0] * len(last)
    return "".join(_LEVELS[min(7, int(8 * max(0.0, value) / most))] for value in last)


def fitted(text: Text, width: int, *, right: bool = False) -> Text:
    """Return a text that fills some columns; a longer one ends in ``…``."""
    length = cell_len(text.plain)
    if length > width:
        text = text.copy()
        text.truncate(width, overflow="ellipsis")
        if cell_len(text.plain) != width:  # half of a wide character
            text = Text(set_cell_size(text.plain, width))
        return text
    pad = " " * (width - length)
    return Text.assemble(pad, text) if right else Text.assemble(text, pad)
