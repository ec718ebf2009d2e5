"""Connections in their handshake, and the choice of the one to close when there are too many."""

from __future__ import annotations

import os
from time import monotonic
from typing import Generic, NamedTuple, TypeVar

__all__ = ["PendingHandshakes"]

T = TypeVar("T")

# Seconds that a connection has for its handshake when there are too many; one that is well takes a few milliseconds.
_GRACE = 0.25


class _Entry(NamedTuple):
    """A connection's entry: the time its handshake began, and whether another user of this machine opened it."""

    since: float
    is_foreign: bool


class PendingHandshakes(Generic[T]):
    """Connections in their handshake, the oldest first."""

    def __init__(self) -> None:
        self._entries: dict[T, _Entry] = {}

    def __contains__(self, connection: T) -> bool:
        return connection in self._entries

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, connection: T, limit: int, *, is_foreign: bool = False) -> T | None:
        """
        Add a connection; when there are more than ``limit`` now, remove one and return it: the caller closes it.

        Another user's goes first, then the oldest if it has had its time, then any at random, the new one among them:
        so connections that stay silent keep no peer out that shakes hands at once, however fast they are replaced, and
        of many who dial together most finish. (A server that drops at random, not the newest: OpenSSH's MaxStartups.)
        """
        self._entries[connection] = _Entry(monotonic(), is_foreign)
        if len(self._entries) <= limit:
            return None
        victim = self._victim()
        del self._entries[victim]
        return victim

    def discard(self, connection: T) -> None:
        """Remove a connection whose handshake is over, if it is still here."""
        self._entries.pop(connection, None)

    def _victim(self) -> T:
        for connection, entry in self._entries.items():
            if entry.is_foreign:
                return connection
        oldest, entry = next(iter(self._entries.items()))
        if monotonic() - entry.since > _GRACE:
            return oldest
        # Not `random`: workers listen too, and would load it for this alone.
        index = int.from_bytes(os.urandom(4), "big") % len(self._entries)
        return list(self._entries)[index]
