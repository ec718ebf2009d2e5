"""The live display: a table of the job at the bottom of a terminal, under the lines that scroll away."""

from aioparcs.display.live.display import LiveDisplay, live_display

__all__ = ["LiveDisplay", "live_display"]
