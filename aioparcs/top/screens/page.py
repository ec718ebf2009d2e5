"""The frame that all pages have: a title, the keys, and a filter."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Input

from aioparcs.top.listing import Lines, Listing
from aioparcs.top.screens.dialogs import Help

__all__ = ["Page", "titled"]


def titled(left: str, right: str, width: int) -> Text:
    """Return a title over the whole width."""
    room = max(1, width - len(right) - 2)
    text = Text(f" {left}")
    text.truncate(room, overflow="ellipsis")
    text.pad_right(max(0, room - text.cell_len))
    return Text(f"{text.plain}{right}  ", "reverse bold")


class Page(Screen[None]):
    """A page with a table."""

    DEFAULT_CSS = """
    Page #filter { height: 1; border: none; padding: 0 1; display: none; }
    Page.-filters #filter { display: block; }
    Page.-filters #keys { display: none; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "back", "back"),
        Binding("slash", "filter", "filter"),
        Binding("question_mark,f1", "help", "help"),
    ]
    MAIN_KEYS: ClassVar[tuple[tuple[str, str], ...]] = ()  # the most important keys of this page
    OWN_KEYS: ClassVar[tuple[tuple[str, str], ...]] = ()  # its own keys, for the help

    def compose(self) -> ComposeResult:
        """Yield the widgets, from above."""
        yield Lines(id="title")
        yield from self.body()
        yield Lines(id="keys")
        yield Input(placeholder="filter: words that a row has; Enter keeps it, Esc ends it", id="filter", compact=True)

    @abstractmethod
    def body(self) -> Iterable[Widget]:
        """Return the widgets between the title and the keys."""

    @property
    def listing(self) -> Listing:
        """The table that keys and the filter are for."""
        return self.query_one(Listing)

    @property
    def is_whole(self) -> bool:
        """Whether it has its widgets: not while it is closed."""
        return self.app.is_running and bool(self.query("#keys"))

    @abstractmethod
    def draw(self) -> None:
        """Draw what has changed; a page that is not in sight draws when it is again."""

    def on_mount(self) -> None:
        """Draw the page first."""
        self.listing.focus()
        self.draw()

    def on_screen_resume(self) -> None:
        """Draw what has changed while another page was above it."""
        self.draw()

    def on_resize(self) -> None:
        """Draw the page in its new size."""
        self.call_after_refresh(self.draw)

    def show_title(self, left: str, right: str) -> None:
        """Draw the title."""
        self.query_one("#title", Lines).show(titled(left, right, self.size.width))

    def show_keys(self, text: Text | None = None) -> None:
        """Draw the keys, or another text in their place."""
        self.query_one("#keys", Lines).show(text or self._keys())

    def on_listing_changed(self, _: Listing.Changed) -> None:
        """Draw the number of the row at the cursor."""
        self.show_keys()

    def action_filter(self) -> None:
        """Show the field of the filter."""
        self.add_class("-filters")
        field = self.query_one(Input)
        field.value = self.listing.words
        field.focus()

    def action_back(self) -> None:
        """End the filter if there is one, or else go to the page before."""
        if self.has_class("-filters") or self.listing.words:
            self.end_filter(keep=False)
        elif len(self.app.screen_stack) > 2:  # the first is the app's own, empty one
            self.app.pop_screen()

    def action_help(self) -> None:
        """Show all keys."""
        self.app.push_screen(Help(self.own_keys()))

    def keys(self) -> tuple[tuple[str, str], ...]:
        """Return the most important keys."""
        return self.MAIN_KEYS

    def own_keys(self) -> tuple[tuple[str, str], ...]:
        """Return the keys that only this page has."""
        return self.OWN_KEYS

    def on_input_changed(self, change: Input.Changed) -> None:
        """Filter while words are typed."""
        if self.has_class("-filters"):
            self.listing.filter(change.value)

    def on_input_submitted(self, _: Input.Submitted) -> None:
        """Keep the filter."""
        self.end_filter(keep=True)

    def end_filter(self, *, keep: bool) -> None:
        """Hide the field of the filter; keep its words or not."""
        self.remove_class("-filters")
        if not keep:
            self.listing.filter("")
        self.listing.focus()
        self.show_keys()

    def _keys(self) -> Text:
        text = Text(" ")
        for key, name in self.keys():
            text.append(key, "bold").append(f" {name}  ", "dim")
        place = self.listing.place
        if self.listing.words:
            text = Text.assemble((f" filter {self.listing.words!r}", "yellow"), ("  Esc ends it", "dim"))
        room = self.size.width - len(place) - 2
        text.truncate(max(0, room), overflow="ellipsis", pad=True)
        return text.append(f" {place} ", "dim")
