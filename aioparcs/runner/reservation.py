"""Requests to the engine, and the launchers that it has made for them."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import NamedTuple

from aioparcs.engine import WorkerGroup

__all__ = ["EngineRequest", "EngineRequests", "Reservation"]


class Reservation:
    """
    The launchers of one start, as long as they have workers, or a pool keeps them for others.

    Attributes:
        group: the workers of that start, and their launchers.
        workers: how many workers they have.
        is_kept: True while these launchers may be asked for other workers, see `WorkerSupervisor.replace`.
        has_failed: True when one of these launchers has failed.
    """

    def __init__(self, group: WorkerGroup) -> None:
        self.group = group
        self.workers = 0
        self.is_kept = False
        self.has_failed = False


class EngineRequest(NamedTuple):
    """The request of one start: its group, the workers of it that are left, and the timer of its deadline."""

    group: WorkerGroup
    hold: Reservation
    left: set[int]
    timer: asyncio.TimerHandle


class EngineRequests:
    """All requests that have workers left; its length is the number of these workers."""

    def __init__(self) -> None:
        self._of_worker: dict[int, EngineRequest] = {}
        self._launchers: Counter[int] = Counter()  # how many requests need each one, by slot

    def __len__(self) -> int:
        return len(self._of_worker)

    def add(self, request: EngineRequest) -> None:
        """Add a new request."""
        self._of_worker.update(dict.fromkeys(request.left, request))
        self._launchers.update(placement.launcher for placement in request.group.placements)

    def get(self, worker: int) -> EngineRequest | None:
        """Return the request that a worker belongs to, or None if it has ended."""
        return self._of_worker.get(worker)

    def all(self) -> list[EngineRequest]:
        """Return each request once."""
        return list({id(request): request for request in self._of_worker.values()}.values())

    def end(self, worker: int) -> EngineRequest | None:
        """Remove a worker that has ended; return its request, or None if it was removed before."""
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
        """Return whether any request that has workers left uses a launcher."""
        return slot in self._launchers
