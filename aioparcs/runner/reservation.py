"""What was asked of the engine, and what it has made for that."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import NamedTuple

from aioparcs.engine import WorkerGroup

__all__ = ["EngineRequest", "EngineRequests", "Reservation"]


class Reservation:
    """
    What the engine has made for one start, as long as there are workers in it, or somebody wants it for others.

    Attributes:
        group: all of it.
        workers: how many workers of it there are.
        is_kept: True while its launchers may be asked for others, see `WorkerSupervisor.replace`.
        has_failed: True when one of its launchers has failed.
    """

    def __init__(self, group: WorkerGroup) -> None:
        self.group = group
        self.workers = 0
        self.is_kept = False
        self.has_failed = False


class EngineRequest(NamedTuple):
    """What one start asked for, who of it is left, and the end of its patience."""

    group: WorkerGroup
    hold: Reservation
    left: set[int]
    timer: asyncio.TimerHandle


class EngineRequests:
    """All requests that have workers left; its length is how many workers these are."""

    def __init__(self) -> None:
        self._of_worker: dict[int, EngineRequest] = {}
        self._launchers: Counter[int] = Counter()  # how many requests need each one, by slot

    def __len__(self) -> int:
        return len(self._of_worker)

    def add(self, request: EngineRequest) -> None:
        """Take a new request."""
        self._of_worker.update(dict.fromkeys(request.left, request))
        self._launchers.update(placement.launcher for placement in request.group.placements)

    def get(self, worker: int) -> EngineRequest | None:
        """Return the request that a worker belongs to, or None if it has ended."""
        return self._of_worker.get(worker)

    def all(self) -> list[EngineRequest]:
        """Return each request once."""
        return list({id(request): request for request in self._of_worker.values()}.values())

    def end(self, worker: int) -> EngineRequest | None:
        """Take note that a worker has ended; returns its request, or None if that was known."""
        request = self._of_worker.pop(worker, None)
        if request:
            request.left.discard(worker)
            if not request.left:
                for placement in request.group.placements:
                    self._launchers[placement.launcher] -= 1
                    if not self._launchers[placement.launcher]:
                        del self._launchers[placement.launcher]
        return request

    def need(self, slot: int) -> bool:
        """Return whether a launcher has workers of any of them, or had when others of its group are left."""
        return slot in self._launchers
