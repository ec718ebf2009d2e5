"""The lines of workers and launchers that were shown last, which an error need not quote again."""

from __future__ import annotations

from collections import deque

__all__ = ["remember", "were_shown"]

# Lines that are still in sight, about.
_IN_SIGHT = 60

_recent: deque[str] = deque(maxlen=_IN_SIGHT)
remember = _recent.append


def were_shown(lines: tuple[str, ...]) -> bool:
    """Return whether lines were shown a moment ago."""
    return set(lines) <= set(_recent)
