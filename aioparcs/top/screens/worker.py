"""The page of one worker."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.widget import Widget
from textual.widgets import ContentSwitcher

from aioparcs.monitor.records import Calls, Explanation
from aioparcs.top.listing import Lines, Listing
from aioparcs.top.model import JobModel
from aioparcs.top.screens.page import Page
from aioparcs.top.sources import JobSource, Update
from aioparcs.top.tables import CALLS, LOG, WorkerView, current_call, named_calls, viewed
from aioparcs.top.tabs import tabs
from aioparcs.top.texts import bar, count, elapsed, percent, plain, size, spark, state

__all__ = ["WorkerPage"]

_TABS = {"lines": "l", "calls": "c"}
_NAME = 9  # columns of the names of facts
_USES = 60  # samples of processor time that are kept


class WorkerPage(Page):
    """
    One worker of a job: its state, its call, what it uses, and its lines or calls.

    Args:
        model: the job.
        source: the job's history.
        number: the worker's number.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        *(Binding(key, f"tab('{name}')", name) for name, key in _TABS.items()),
        Binding("tab", "next_tab(1)", "next table"),
        Binding("shift+tab", "next_tab(-1)", "table before"),
    ]
    MAIN_KEYS: ClassVar[tuple[tuple[str, str], ...]] = (
        ("Esc", "back"), ("l", "lines"), ("c", "calls"), ("/", "filter"), ("?", "help"), ("q", "quit"),
    )  # fmt: skip
    OWN_KEYS: ClassVar[tuple[tuple[str, str], ...]] = (
        ("l", "the worker's lines"),
        ("c", "its last calls"),
        ("Tab", "the next of these"),
    )

    def __init__(self, model: JobModel, source: JobSource, number: int) -> None:
        super().__init__()
        self.model, self.source, self.number = model, source, number
        self._calls: Calls = []
        self._uses: list[float] = []
        self._has_socket = False

    def body(self) -> Iterable[Widget]:
        """Return the facts, and the tables."""
        switcher = ContentSwitcher(Listing(LOG, id="lines"), Listing(CALLS, id="calls"), initial="lines")
        return Lines(id="facts"), Lines(id="tabs"), switcher

    @property
    def shown(self) -> str:
        """The name of the table in sight."""
        return self.query_one(ContentSwitcher).current or "lines"

    @property
    def listing(self) -> Listing:
        """The table in sight."""
        return self.query_one(f"#{self.shown}", Listing)

    def show_update(self, update: Update) -> None:
        """Draw what is new of the job."""
        self._calls, self._has_socket = update.calls, update.has_socket
        row = self.model.workers.get(self.number)
        if row and row["usage"] and update.message and "workers" in update.message:
            self._uses = [*self._uses[1 - _USES :], row["usage"]["cpu"]]
        self.draw()

    def draw(self) -> None:
        """Draw the worker."""
        overview, row = self.model.overview, self.model.workers.get(self.number)
        if overview is None:
            return
        job = f"aioparcs top > {plain(overview['id'])} > worker {self.number}"
        self.show_title(job, f"{overview['state']}  {elapsed(self.model.now)}")
        lines = self.model.lines_of(self.number)
        if row is not None:
            reasons = [Text(f" ! {plain(one['text'])}", "yellow") for one in self._reasons()]
            self.query_one("#facts", Lines).show(*self._facts(viewed(row, self.model.now)), *reasons)
        self.query_one("#tabs", Lines).show(tabs({"lines": len(lines), "calls": len(self._calls)}, self.shown))
        calls = named_calls(self._calls, self.model.functions)
        self.listing.show_rows(lines if self.shown == "lines" else calls)

    def action_tab(self, name: str) -> None:
        """Show another table."""
        self.query_one(ContentSwitcher).current = name
        self.listing.focus()
        self.draw()

    def action_next_tab(self, step: int) -> None:
        """Show the next table, or the one before."""
        names = list(_TABS)
        self.action_tab(names[(names.index(self.shown) + step) % len(names)])

    def _reasons(self) -> list[Explanation]:
        return self.model.reasons(f"worker {self.number}")

    def _facts(self, row: WorkerView) -> list[Text]:
        facts = {"state": _state(row), "module": _place(row), "time": _times(row), "calls": _calls(row)}
        usage, channel = row["usage"], row["channel"]
        if usage:
            facts["uses"] = Text.assemble(
                (spark(self._uses, 20, 1.0), "cyan"),
                f"  {percent(usage['cpu'])} of a core  {size(usage['memory'])} of memory",
            )
        if channel:
            facts["channel"] = Text(
                f"{count(channel['sent'])} sent, {size(channel['bytesSent'])}   "
                f"{count(channel['received'])} received, {size(channel['bytesReceived'])}   "
                f"{size(channel['queued'])} queued, {size(channel['unread'])} unread"
            )
        return [Text.assemble(" ", (f"{name:<{_NAME}}", "bold"), fact) for name, fact in facts.items()]


def _state(row: WorkerView) -> Text:
    text = state(row["state"])
    if row["current"]:
        text.append(f"  {current_call(row)}", "")
    if row["reason"]:
        text.append(f"  {plain(row['reason'])}", "red" if row["state"] == "lost" else "")
    return text


def _place(row: WorkerView) -> Text:
    node = f" on {plain(row['node'])}" if row["node"] else ""
    parent = f", started by worker {row['parent']}" if row["parent"] is not None else ""
    return Text(f"{plain(row['module'])}{node}{parent}")


def _times(row: WorkerView) -> Text:
    text = f"requested at {elapsed(row['requested'])}"
    if row["connected"] is not None:
        text += f", connected after {elapsed(row['connected'] - row['requested'])}"
    if row["ended"] is not None:
        text += f", ended at {elapsed(row['ended'])}"
    return Text(text)


def _calls(row: WorkerView) -> Text:
    text = Text(count(row["calls"]))
    if row["failed"]:
        text.append(", ").append(f"{count(row['failed'])} failed", "red")
    if row["share"] is not None and (row["calls"] or row["current"]):
        text.append("  ").append_text(bar(row["share"], 20)).append(f" busy {percent(row['share'])}")
    return text
