"""The root of every error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aioparcs.errors.item import ITEM_ENTRIES, Hideable

__all__ = ["ParcsError"]


class ParcsError(Exception):
    """
    The root of every error that aioparcs raises by itself.

    Attributes:
        index: the place, from 0, of the item whose call raised it among those of a pool's ``map``, ``imap`` and so on;
            None for any other error.
        item: that item, as the program has given it; None in an error that was pickled.
    """

    if TYPE_CHECKING:
        index: int | None
        item: Any
    else:
        index, item = map(Hideable, ITEM_ENTRIES)


ParcsError.__module__ = "aioparcs.errors"  # as it is imported, printed and pickled
