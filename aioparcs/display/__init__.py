"""The displays of a job: live on a terminal, lines elsewhere; rich is loaded only to draw on a terminal."""

from aioparcs.display.choice import auto_display, default_display, keep, live_on_terminal, open_display
from aioparcs.display.detail import Clock, Detail
from aioparcs.display.history import is_page_wanted
from aioparcs.display.text import has_colors, sanitize, were_shown

__all__ = [
    "Clock",
    "Detail",
    "auto_display",
    "default_display",
    "has_colors",
    "is_page_wanted",
    "keep",
    "live_on_terminal",
    "open_display",
    "sanitize",
    "were_shown",
]
