"""The event loop of aioparcs' programs: uvloop's where that is installed, else asyncio's own."""

from __future__ import annotations

import asyncio

__all__ = ["new_loop"]


def new_loop() -> asyncio.AbstractEventLoop:
    """Return a new event loop."""
    try:
        import uvloop  # here: a program with a loop of its own doesn't load it
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()
