"""The channels between workers of a job, and when each was open."""

from __future__ import annotations

from aioparcs.events import PeerChange
from aioparcs.monitor.records import Calls, rounded

__all__ = ["Peers"]

_MOST = 1000  # channels that are kept; the oldest that are closed are dropped first


class Peers:
    """All channels between workers that are open, and the last of those that were."""

    def __init__(self) -> None:
        self._open: dict[tuple[int, int], float] = {}  # when each was opened, in seconds since the job began
        self._closed: list[tuple[int, int, float, float]] = []

    def change(self, change: PeerChange, time: float) -> None:
        """Note that a channel was opened or closed."""
        pair = change.worker, change.peer
        if not change.is_open:
            self._close(pair, time)
        elif len(self._open) < _MOST:
            self._open.setdefault(pair, time)

    def end(self, worker: int, time: float) -> None:
        """Note that a worker has ended, and its channels with it."""
        for pair in [pair for pair in self._open if worker in pair]:
            self._close(pair, time)

    def rows(self) -> Calls:
        """Return a row for each channel, see `Message`."""
        there = [[*pair, rounded(opened), None] for pair, opened in self._open.items()]
        return [[one, other, rounded(opened), rounded(closed)] for one, other, opened, closed in self._closed] + there

    def _close(self, pair: tuple[int, int], time: float) -> None:
        if (opened := self._open.pop(pair, None)) is not None:
            self._closed.append((*pair, opened, time))
        del self._closed[: max(0, len(self._closed) + len(self._open) - _MOST)]
