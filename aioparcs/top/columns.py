"""The columns of a table, fitted to a width; which of its rows are shown, and in which order."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from rich.text import Text

from aioparcs.top.texts import fitted

__all__ = ["Column", "Order", "Table"]

_GAP = 1  # columns of the terminal between two of the table


class Column(NamedTuple):
    """
    A column.

    Attributes:
        title: its heading.
        width: how wide it is; the least, if it grows.
        cell: makes its text from a row.
        key: what rows are sorted by; None if they can't be sorted by it.
        right: whether it is aligned to the right, as numbers are.
        grows: whether it gets the room that is left.
        rank: columns of a higher rank are left out first where there is no room.
        falls: whether it is sorted from the largest on.
    """

    title: str
    width: int
    cell: Callable[[Any], str | Text]
    key: Callable[[Any], Any] | None = None
    right: bool = False
    grows: bool = False
    rank: int = 0
    falls: bool = False

    def text(self, row: Any, width: int) -> Text:
        """Return the text of its cell in a row, as wide as that."""
        made = self.cell(row)
        return fitted(Text(made) if isinstance(made, str) else made, width, right=self.right)


@dataclass(frozen=True)
class Order:
    """
    The order of rows.

    Attributes:
        column: the number of the column that they are sorted by; None for the order in which they came.
        falls: whether the largest come first.
    """

    column: int | None = None
    falls: bool = False


UNSORTED = Order()


@dataclass(frozen=True)
class Table:
    """
    A kind of table.

    Attributes:
        columns: its columns.
        key: names a row, so that the cursor stays on it.
        words: returns the text that a filter is looked for in.
        empty: what stands in a table without rows.
        order: the order at first.
        follows: whether the cursor on the last row stays on the last one, as in a log.
    """

    columns: tuple[Column, ...]
    key: Callable[[Any], Hashable]
    words: Callable[[Any], str]
    empty: str
    order: Order = UNSORTED
    follows: bool = False

    def fit(self, width: int) -> list[tuple[Column, int]]:
        """Return the columns that there is room for, each with its width."""
        columns = list(self.columns)
        while len(columns) > 1 and _least(columns) > width:
            columns.remove(max(columns, key=lambda column: column.rank))
        left = max(0, width - _least(columns))
        growing = [column for column in columns if column.grows]
        shares = {column.title: left // len(growing) for column in growing}
        return [(column, column.width + shares.get(column.title, 0)) for column in columns]

    def head(self, width: int, order: Order) -> Text:
        """Return the row of titles; an arrow shows what rows are sorted by."""
        parts = []
        for column, room in self.fit(width):
            is_sorted = order.column is not None and self.columns[order.column] is column
            arrow = ("▼" if order.falls else "▲") if is_sorted else ""
            parts.append(fitted(Text(column.title + arrow), room, right=column.right))
        return Text(" " * _GAP).join(parts)

    def line(self, row: Any, width: int) -> Text:
        """Return a row as a line."""
        return Text(" " * _GAP).join([column.text(row, room) for column, room in self.fit(width)])

    def shown(self, rows: Sequence[Any], words: str, order: Order) -> list[Any]:
        """Return the rows that have all words of a filter, in their order."""
        wanted = words.casefold().split()
        found = [row for row in rows if _has(self.words(row), wanted)] if wanted else list(rows)
        key = None if order.column is None else self.columns[order.column].key
        if key is not None:
            found.sort(key=key, reverse=order.falls)
        return found

    def next_order(self, order: Order, step: int = 1) -> Order:
        """Return the order by the next column that rows can be sorted by, or by the one before."""
        places = [place for place, column in enumerate(self.columns) if column.key]
        if not places:
            return order
        at = places.index(order.column) if order.column in places else -1 if step > 0 else 0
        place = places[(at + step) % len(places)]
        return Order(place, self.columns[place].falls)


def _has(text: str, words: list[str]) -> bool:
    folded = text.casefold()
    return all(word in folded for word in words)


def _least(columns: list[Column]) -> int:
    return sum(column.width for column in columns) + _GAP * (len(columns) - 1)
