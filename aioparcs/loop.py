"""The event loop of aioparcs' programs: uvloop's where that is installed, else asyncio's own."""

from __future__ import annotations

import asyncio
from typing import Any

_loops: Any = asyncio
try:
    import uvloop as _loops
except ImportError:
    pass

__all__ = ["new_loop"]


def new_loop() -> asyncio.AbstractEventLoop:
    """Return a new event loop."""
    loop: asyncio.AbstractEventLoop = _loops.new_event_loop()
    return loop
