"""The dialogs above pages: the keys, a confirmation, and a number that is asked for."""

from __future__ import annotations

from collections.abc import Iterable
from textwrap import wrap
from typing import ClassVar, TypeVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input

from aioparcs.top.listing import Lines

__all__ = ["Confirm", "Help", "Question", "Reading"]

T = TypeVar("T")

_WIDTH = 66  # columns of a dialog's text, as in its style below

_KEYS = (
    ("↑ ↓  or  k j", "move"),
    ("PgUp PgDn  g G", "a page; the first row, the last one"),
    ("← →", "what is further left or right in long lines"),
    ("Enter", "open the row"),
    ("Esc", "end the filter, or go back"),
    ("/", "filter: rows that have all of these words"),
    ("s  or  < >", "sort by the next column, or the one before"),
    ("1 to 9", "sort by this column; again: in reverse"),
    ("r", "reverse the order"),
    ("?", "this help"),
    ("q  or  Ctrl-C", "quit; jobs go on"),
)


class Dialog(ModalScreen[T]):
    """A box in the middle of the screen."""

    DEFAULT_CSS = """
    Dialog { align: center middle; background: transparent; }
    Dialog #box { width: auto; min-width: 40; max-width: 96%; height: auto; max-height: 96%;
                  border: round ansi_blue; padding: 0 1; background: ansi_default; }
    Dialog Lines { width: 66; }
    Dialog Input { height: 1; border: none; padding: 0; width: 20; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "cancel", "cancel")]

    def compose(self) -> ComposeResult:
        """Yield the box."""
        with Vertical(id="box"):
            yield Lines(id="text")

    def show(self, *lines: Text) -> None:
        """Draw its text."""
        self.query_one("#text", Lines).show(*lines)

    def action_cancel(self) -> None:
        """Close it without an answer."""
        self.dismiss(None)


class Help(Dialog[None]):
    """
    The keys.

    Args:
        own: those of the page below it.
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("question_mark,f1,enter,space", "cancel", "close")]

    def __init__(self, own: Iterable[tuple[str, str]]) -> None:
        super().__init__()
        self._own = tuple(own)

    def on_mount(self) -> None:
        """Draw the keys."""
        lines = [Text.assemble((f"{key:<16}", "bold cyan"), text) for key, text in (*self._own, *_KEYS)]
        if self._own:
            lines.insert(len(self._own), Text())
        self.show(*lines)


class Reading(Dialog[None]):
    """
    A text as a whole.

    Args:
        title: what it is about.
        text: the text.
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter,space", "cancel", "close")]

    def __init__(self, title: str, text: str) -> None:
        super().__init__()
        self._title, self._text = title, text

    def on_mount(self) -> None:
        """Draw the text."""
        self.show(Text(self._title, "bold"), *map(Text, wrap(self._text, _WIDTH)))


class Confirm(Dialog[bool]):
    """
    A question that only ``y`` confirms.

    Args:
        question: what is done.
        effect: what comes of it.
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("y", "confirm", "yes"), Binding("n,enter", "cancel", "no")]

    def __init__(self, question: str, effect: str) -> None:
        super().__init__()
        self._question, self._effect = question, effect

    def on_mount(self) -> None:
        """Draw the question."""
        keys = Text.assemble(("y", "bold"), " yes     ", ("n", "bold"), " no")
        self.show(Text(self._question, "bold"), Text(self._effect), Text(), keys)

    def action_confirm(self) -> None:
        """Answer yes."""
        self.dismiss(True)


class Question(Dialog[int]):
    """
    A number that is asked for.

    Args:
        question: what it is for.
        effect: what comes of it.
        number: what it is now.
    """

    def __init__(self, question: str, effect: str, number: int) -> None:
        super().__init__()
        self._question, self._effect, self._number = question, effect, number

    def compose(self) -> ComposeResult:
        """Yield the box with a field."""
        with Vertical(id="box"):
            yield Lines(id="text")
            yield Input(str(self._number), type="integer", max_length=6, compact=True)

    def on_mount(self) -> None:
        """Draw the question."""
        keys = Text.assemble(("Enter", "bold"), " confirm     ", ("Esc", "bold"), " cancel")
        self.show(Text(self._question, "bold"), Text(self._effect), Text(), keys, Text())
        self.query_one(Input).focus()

    def on_input_submitted(self, submitted: Input.Submitted) -> None:
        """Answer the number, if it is one."""
        if submitted.value.isdecimal():
            self.dismiss(int(submitted.value))
