"""What people see of a job: live on a terminal, lines elsewhere; rich is loaded only to draw on a terminal."""

from aioparcs.display.console import Console
from aioparcs.display.events import Detail
from aioparcs.display.guard import Shield
from aioparcs.display.opening import flush, opened, watched
from aioparcs.display.shown import were_shown
from aioparcs.display.text import harmless, has_colors

__all__ = ["Console", "Detail", "Shield", "flush", "harmless", "has_colors", "opened", "watched", "were_shown"]
