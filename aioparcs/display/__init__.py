"""The displays of a job: live on a terminal, lines elsewhere; rich is loaded only to draw on a terminal."""

from aioparcs.display.choice import auto_display, flush, open_display
from aioparcs.display.console import Console
from aioparcs.display.events import Detail
from aioparcs.display.guard import Shield
from aioparcs.display.shown import were_shown
from aioparcs.display.text import has_colors, sanitize

__all__ = [
    "Console",
    "Detail",
    "Shield",
    "auto_display",
    "flush",
    "has_colors",
    "open_display",
    "sanitize",
    "were_shown",
]
