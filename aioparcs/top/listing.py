"""The widgets that draw lines: a table with a cursor, and texts."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, ClassVar

from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from aioparcs.top.columns import Order, Table
from aioparcs.top.texts import fitted

__all__ = ["Lines", "Listing"]

_CURSOR = Style(reverse=True)
_HEAD = Style(bold=True)


class Lines(Widget):
    """Some lines of text, which are cut off where there is no room for them."""

    DEFAULT_CSS = "Lines { height: auto; }"

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.lines: list[Text] = []

    def show(self, *lines: Text) -> None:
        """Draw other lines."""
        if list(lines) != self.lines:
            is_other_size = len(lines) != len(self.lines)
            self.lines = list(lines)
            self.refresh(layout=is_other_size)

    def get_content_height(self, *_: Any) -> int:
        """Return how many lines there are."""
        return len(self.lines)

    def render_line(self, y: int) -> Strip:
        """Return a line as textual draws it."""
        text = self.lines[y] if y < len(self.lines) else Text()
        return _strip(fitted(text, self.size.width), self)


class Listing(Widget, can_focus=True):
    """
    A table of rows with a cursor; only the rows in sight are drawn, however many there are.

    Args:
        table: its columns.

    Attributes:
        words: the filter, "" for none.
        order: the order of its rows.
        rows: the rows that it shows, in their order.
    """

    DEFAULT_CSS = "Listing { height: 1fr; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "up"),
        Binding("down,j", "move(1)", "down"),
        Binding("pageup,ctrl+b", "page(-1)", "page up"),
        Binding("pagedown,ctrl+f,space", "page(1)", "page down"),
        Binding("home,g", "jump(0)", "first"),
        Binding("end,G", "jump(-1)", "last"),
        Binding("left,h", "shift(-8)", "left"),
        Binding("right", "shift(8)", "right"),
        Binding("enter", "open", "open"),
        Binding("s,greater_than_sign", "sort(1)", "sort"),
        Binding("less_than_sign", "sort(-1)", "sort by the column before"),
        Binding("r", "reverse", "reverse the order"),
        *(Binding(str(number), f"sort_by({number})", f"sort by column {number}") for number in range(1, 10)),
    ]

    class Opened(Message):
        """Enter was pressed on a row."""

        def __init__(self, row: Any) -> None:
            super().__init__()
            self.row = row

    class Changed(Message):
        """The cursor has moved, or other rows are shown."""

    def __init__(self, table: Table, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.words = ""
        self.rows: list[Any] = []
        self._all: Sequence[Any] = ()
        self.show_table(table)

    def show_table(self, table: Table) -> None:
        """Become another table, without rows."""
        self.table, self.order = table, table.order
        self._all, self.rows, self.words = (), [], ""
        self._at = self._top = self._left = 0
        self._key: Hashable = None  # of the row at the cursor
        self._is_last = table.follows
        self.refresh()

    @property
    def row(self) -> Any | None:
        """The row at the cursor, None if there is none."""
        return self.rows[self._at] if self.rows else None

    @property
    def place(self) -> str:
        """The number of the row at the cursor, and of how many."""
        shown, there = len(self.rows), len(self._all)
        of = f"{shown:,}" if shown == there else f"{shown:,} of {there:,}"
        return f"{self._at + 1:,}/{of}" if shown else of

    def show_rows(self, rows: Sequence[Any]) -> None:
        """Draw other rows; the cursor stays on its row, if that is still there."""
        self._all = rows
        self.rows = self.table.shown(rows, self.words, self.order)
        self._find_cursor()
        self._scroll()
        self.refresh()
        self.post_message(self.Changed())

    def filter(self, words: str) -> None:
        """Show only rows that have all of these words."""
        self.words = words
        self._is_last = self._is_last or (self.table.follows and not words)
        self.show_rows(self._all)

    def render_line(self, y: int) -> Strip:
        """Return a line as textual draws it: the titles, a row, or an empty one."""
        width = self.size.width
        if y == 0:
            return _strip(fitted(self.table.head(width, self.order), width), self, _HEAD)
        place = self._top + y - 1
        if place >= len(self.rows):
            text = f" {self._nothing()}" if y == 2 and not self.rows else ""
            return _strip(fitted(Text(text, "dim"), width), self)
        line = self.table.line(self.rows[place], width + self._left)
        if self._left:
            line = line[self._left :]
        if place == self._at and self.has_focus:
            return _strip(fitted(Text(line.plain), width), self, _CURSOR)
        return _strip(fitted(line, width), self)

    def action_move(self, step: int) -> None:
        """Move the cursor by some rows."""
        self._move(self._at + step)

    def action_page(self, step: int) -> None:
        """Move the cursor by as many rows as are in sight."""
        self._move(self._at + step * max(1, self._height - 1))

    def action_jump(self, place: int) -> None:
        """Move the cursor to the first row (0) or the last one (-1)."""
        self._move(place if place >= 0 else len(self.rows) - 1)

    def action_shift(self, step: int) -> None:
        """Show what is further right or left in long lines."""
        self._left = max(0, self._left + step)
        self.refresh()

    def action_open(self) -> None:
        """Open the row at the cursor."""
        if self.row is not None:
            self.post_message(self.Opened(self.row))

    def action_sort(self, step: int) -> None:
        """Sort by the next column, or by the one before."""
        self._sort(self.table.next_order(self.order, step))

    def action_sort_by(self, number: int) -> None:
        """Sort by a column that is in sight, from 1; if that was so, in reverse."""
        shown = [column for column, _ in self.table.fit(self.size.width)]
        if number > len(shown) or shown[number - 1].key is None:
            return
        place = self.table.columns.index(shown[number - 1])
        falls = not self.order.falls if self.order.column == place else shown[number - 1].falls
        self._sort(Order(place, falls))

    def action_reverse(self) -> None:
        """Reverse the order."""
        if self.order.column is not None:
            self._sort(Order(self.order.column, not self.order.falls))

    def on_resize(self, _: events.Resize) -> None:
        """Keep the cursor in sight."""
        self._scroll()

    @property
    def _height(self) -> int:
        return max(1, self.size.height - 1)  # without the titles

    def _nothing(self) -> str:
        return f"nothing has {self.words!r}" if self.words and self._all else self.table.empty

    def _sort(self, order: Order) -> None:
        self.order = order
        self._is_last = False
        self.show_rows(self._all)

    def _move(self, place: int) -> None:
        before, top = self._at, self._top
        self._at = max(0, min(len(self.rows) - 1, place))
        self._key = self.table.key(self.rows[self._at]) if self.rows else None
        self._is_last = self.table.follows and self._at == len(self.rows) - 1
        self._scroll()
        if self._top == top:
            self.refresh(*(Region(0, at - top + 1, self.size.width, 1) for at in (before, self._at)))
        else:
            self.refresh()
        self.post_message(self.Changed())

    def _find_cursor(self) -> None:
        """Find the row at the cursor again, or else keep its place."""
        last = max(0, len(self.rows) - 1)
        if self._is_last:
            self._at = last
        elif self._key is not None:
            key, rows = self._key, self.rows
            if not (self._at < len(rows) and self.table.key(rows[self._at]) == key):
                there = (place for place, row in enumerate(rows) if self.table.key(row) == key)
                self._at = next(there, min(self._at, last))
        self._at = min(self._at, last)
        if self.rows and (self._key is None or self._is_last):
            self._key = self.table.key(self.rows[self._at])

    def _scroll(self) -> None:
        """Move what is in sight, so that the cursor is."""
        last = max(0, len(self.rows) - self._height)
        self._top = max(0, min(max(self._at - self._height + 1, min(self._top, self._at)), last))


def _strip(text: Text, widget: Widget, style: Style | None = None) -> Strip:
    """Return a text as textual draws it."""
    null = Style.null()  # filters of textual, as for NO_COLOR, take no segment without a style
    spans = Text.assemble(text)  # rendering alone leaves out the style of a text without spans
    segments = [Segment(part, own or null) for part, own, _ in spans.render(widget.app.console, end="")]
    strip = Strip(segments, widget.size.width)
    return strip.apply_style(style) if style else strip
