"""The item of a pool whose call has raised an error, kept in that."""

from __future__ import annotations

from typing import Any

from aioparcs.errors.parts import entries_of

__all__ = ["ITEM_ENTRIES", "Hideable", "set_item"]

_INDEX, _ITEM = ITEM_ENTRIES = "_call_index", "_call_item"
"""The entries of an error's dictionary that `set_item` makes."""


class Hideable:
    """
    An attribute of an error, kept in another entry: one of its name that the exception itself has is found before it.

    Args:
        entry: the entry's name.
    """

    def __init__(self, entry: str) -> None:
        self._entry = entry

    def __get__(self, error: Any, owner: object) -> Any:
        if error is None:
            return self
        value = entries_of(error).get(self._entry)
        return value.item if type(value) is _Held else value


class _Held:
    """An item that is no part of its error where that is pickled or deeply copied: not each item can be."""

    __slots__ = ("item",)

    def __init__(self, item: Any = None) -> None:
        self.item = item

    def __deepcopy__(self, memo: object) -> _Held:
        return self

    def __reduce__(self) -> tuple[type[_Held], tuple[()]]:
        return _Held, ()


def set_item(error: BaseException, index: int, item: Any) -> None:
    """Set which item of a pool a call was for; attributes ``index`` and ``item`` of the exception itself stay."""
    entries_of(error).update({_INDEX: index, _ITEM: _Held(item)})
