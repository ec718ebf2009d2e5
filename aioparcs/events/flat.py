"""The JSON of flat records, of which events have hundreds, such as spans: a usual one is checked as a whole."""

from __future__ import annotations

from collections.abc import Callable
from operator import itemgetter
from typing import Any, get_type_hints

__all__ = ["FlatRecord"]

_SCALARS = (int, float, str, bool)


class FlatRecord:
    """
    A kind of `NamedTuple` whose fields are numbers and texts.

    Args:
        kind: the kind.
        largest: the largest number that JSON may have.

    Attributes:
        is_flat: whether its fields are that, and two of them numbers; only then it has the methods.
    """

    def __init__(self, kind: Any, largest: int) -> None:
        types = get_type_hints(kind)
        self._make = kind._make
        self._names = kind._fields
        self._types = tuple(types[name] for name in self._names)
        numbers = [place for place, one in enumerate(self._types) if one in (int, float)]
        counts = [place for place, one in enumerate(self._types) if one is int]
        self.is_flat = set(self._types) <= set(_SCALARS) and len(numbers) > 1 and len(counts) > 1
        if self.is_flat:
            self._numbers: Callable[[Any], tuple[Any, ...]] = itemgetter(*numbers)
            self._counts: Callable[[Any], tuple[Any, ...]] = itemgetter(*counts)
            self._items: Callable[[Any], tuple[Any, ...]] = itemgetter(*self._names)
        self._largest = largest

    def plain(self, record: Any) -> dict[str, Any] | None:
        """Return a record as JSON has it; None if it is unusual: a number is too large, or none."""
        return dict(zip(self._names, record, strict=True)) if self._is_in_range(record) else None

    def typed(self, value: Any) -> Any:
        """Return the record of a value of JSON; None if it is unusual, or no such record."""
        try:
            items = self._items(value)
        except (KeyError, TypeError):
            return None
        if tuple(map(type, items)) != self._types or not self._is_in_range(items) or min(self._counts(items)) < 0:
            return None
        return self._make(items)

    def _is_in_range(self, items: Any) -> bool:
        numbers = self._numbers(items)
        try:
            total = sum(numbers)
        except TypeError:
            return False
        is_number = total == total  # a NaN is not
        return bool(is_number and -self._largest <= min(numbers) and max(numbers) <= self._largest)
