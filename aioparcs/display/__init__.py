"""What people see of a job: live on a terminal, lines elsewhere; rich is loaded only to draw on a terminal."""

from aioparcs.display.console import Console
from aioparcs.display.events import Detail
from aioparcs.display.opening import opened, watched

__all__ = ["Console", "Detail", "opened", "watched"]
