"""The reservations of a job: what the engine has made for each start, kept while workers need it."""

from __future__ import annotations

from collections.abc import Iterator

from aioparcs.engine import WorkerGroup
from aioparcs.runner.state.stimuli import ReleaseGroup

__all__ = ["Reservation", "Reservations"]

# Groups of launchers that stay after they have failed: more would make each look at the Swarm's tasks longer.
_FAILED_KEPT = 16


class Reservation:
    """
    What the engine has made for one start.

    Attributes:
        group: the workers of that start, and their launchers.
        workers: the workers that it has now, by number.
        is_retained: True while a pool may put other workers in their place.
        has_failed: True when one of its launchers has failed.
    """

    __slots__ = ("group", "has_failed", "is_retained", "workers")

    def __init__(self, group: WorkerGroup) -> None:
        self.group = group
        self.workers: set[int] = set()
        self.is_retained = False
        self.has_failed = False

    @property
    def number(self) -> int:
        """Its number: that of its first worker."""
        return self.group.first


class Reservations:
    """
    The reservations that are not released.

    The latest ones whose launchers have failed stay until the job ends, for users who inspect them from outside.
    """

    def __init__(self) -> None:
        self._all: dict[int, Reservation] = {}
        self._failed: dict[int, None] = {}  # those that are kept for having failed, the oldest first

    def __len__(self) -> int:
        return len(self._all)

    def add(self, group: WorkerGroup) -> Reservation:
        """Add the reservation of a group, and return it."""
        reservation = self._all[group.first] = Reservation(group)
        return reservation

    def get(self, number: int | None) -> Reservation | None:
        """Return the reservation of a number, or None if it is released."""
        return None if number is None else self._all.get(number)

    def of_parent(self, worker: int) -> list[Reservation]:
        """Return the reservations for what a service has started."""
        return [one for one in self._all.values() if one.group.spec.parent == worker]

    def release_unused(self, reservation: Reservation) -> Iterator[ReleaseGroup]:
        """Release a reservation that is no longer in use; keep it if it has failed, and release an older one."""
        if reservation.workers or reservation.is_retained or reservation.number not in self._all:
            return
        if reservation.has_failed:
            self._failed.setdefault(reservation.number)
            if len(self._failed) <= _FAILED_KEPT:
                return
            reservation = self._all[next(iter(self._failed))]
        self._failed.pop(reservation.number, None)
        del self._all[reservation.number]
        yield ReleaseGroup(reservation.group)
