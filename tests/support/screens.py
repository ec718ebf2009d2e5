"""The screens of textual's apps as text."""

import re
from collections import defaultdict
from html import unescape
from typing import Any

from rich.cells import set_cell_size
from textual.app import App

from tests.support.waiting import until

__all__ = ["screen_text", "seen"]

_PATIENCE, _PAUSE = 60.0, 0.2  # seconds; a look takes a while, in which the app does nothing else
_WIDTH = 12.2  # units of a character
_TEXT = re.compile(r'<text[^>]*?x="([\d.]+)" y="([\d.]+)"[^>]*clip-path[^>]*>(.*?)</text>')


def screen_text(app: App[Any]) -> str:
    """Return the lines on an app's screen."""
    lines: dict[float, list[tuple[float, str]]] = defaultdict(list)
    for x, y, text in _TEXT.findall(app.export_screenshot()):
        lines[float(y)].append((float(x), unescape(text).replace("\xa0", " ")))
    return "\n".join(_line(parts) for _, parts in sorted(lines.items()))


def _line(parts: list[tuple[float, str]]) -> str:
    """Return a line of parts, each at its place; spaces between them are not drawn."""
    line = ""
    for x, text in sorted(parts):
        line = set_cell_size(line, round(x / _WIDTH)) + text
    return line


async def seen(app: App[Any], *patterns: str) -> str:
    """Wait until all of some patterns are on an app's screen, and return its lines."""
    found = ""

    def has_all() -> bool:
        nonlocal found
        found = screen_text(app)
        return all(re.search(pattern, found, re.MULTILINE) for pattern in patterns)

    try:
        await until(has_all, _PATIENCE, pause=_PAUSE)
    except TimeoutError:
        raise AssertionError(f"{patterns} are not all in\n{found}") from None
    return found
