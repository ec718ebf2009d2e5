"""What was asked of the engine, and what it has made for that."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from aioparcs.engine import WorkerGroup

__all__ = ["Hold", "Request"]


class Hold:
    """
    What the engine has made for one start, as long as there are workers in it, or somebody wants it for others.

    Attributes:
        group: all of it.
        workers: how many workers of it there are.
        is_kept: True while its launchers may be asked for others, see `Workforce.replace`.
        has_failed: True when one of its launchers has failed.
    """

    def __init__(self, group: WorkerGroup) -> None:
        self.group = group
        self.workers = 0
        self.is_kept = False
        self.has_failed = False


class Request(NamedTuple):
    """What one start asked for, who of it is left, and the end of its patience."""

    group: WorkerGroup
    hold: Hold
    left: set[int]
    timer: asyncio.TimerHandle
