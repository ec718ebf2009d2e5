"""The line of tabs above tables."""

from __future__ import annotations

from collections.abc import Mapping

from rich.text import Text

from aioparcs.top.texts import count

__all__ = ["tabs"]


def tabs(counts: Mapping[str, int], shown: str) -> Text:
    """
    Return the names of tables, each with its key underlined.

    Args:
        counts: the names, with how many rows each has.
        shown: which one is in sight.
    """
    text = Text()
    for name, number in counts.items():
        label = f" {name} {count(number)} " if number else f" {name} "
        part = Text(label, "reverse" if name == shown else "dim" if not number else "")
        part.stylize("underline bold", 1, 2)
        text.append_text(part).append(" ")
    return text
