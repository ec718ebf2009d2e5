"""The root of every error."""

from __future__ import annotations

__all__ = ["ParcsError"]


class ParcsError(Exception):
    """The root of every error that aioparcs raises by itself."""


ParcsError.__module__ = "aioparcs.errors"  # as it is imported, printed and pickled
