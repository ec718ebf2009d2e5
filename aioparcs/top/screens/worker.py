"""The page of one worker."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, ClassVar

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.widget import Widget
from textual.widgets import ContentSwitcher

from aioparcs.monitor.control import ControlError
from aioparcs.monitor.records import Calls, Explanation
from aioparcs.top.columns import Table
from aioparcs.top.listing import Lines, Listing
from aioparcs.top.model import JobModel, WorkerView, viewed
from aioparcs.top.screens.acting import WORKER_BINDINGS, WORKER_KEYS, ActingPage
from aioparcs.top.sources import JobSource, Update
from aioparcs.top.tables import CALLS, LOG, STACK, current_call, named_calls, reason_text
from aioparcs.top.tabs import tabs
from aioparcs.top.texts import bar, count, elapsed, percent, plain, size, spark, state

__all__ = ["WorkerPage"]

_TABLES: dict[str, Table] = {"lines": LOG, "calls": CALLS, "traceback": STACK}
_NAME = 9  # columns of the names of facts
_USES = 60  # samples of processor time that are kept


class WorkerPage(ActingPage):
    """
    One worker of a job: its state, its call, what it uses, and its lines or calls.

    Args:
        model: the job.
        source: the job's history.
        number: the worker's number.
        control: whether it may be killed, or restarted, and its call cancelled.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        *(Binding(name[0], f"tab('{name}')", name) for name in _TABLES),
        Binding("tab", "next_tab(1)", "next table"),
        Binding("shift+tab", "next_tab(-1)", "table before"),
        *WORKER_BINDINGS,
    ]
    MAIN_KEYS: ClassVar[tuple[tuple[str, str], ...]] = (
        ("Esc", "back"), ("l", "lines"), ("c", "calls"), ("t", "traceback"), ("/", "filter"), ("?", "help"),
        ("q", "quit"),
    )  # fmt: skip
    OWN_KEYS: ClassVar[tuple[tuple[str, str], ...]] = (
        ("l", "the worker's lines"),
        ("c", "its last calls"),
        ("t", "its traceback: where it is now; again: once more"),
        ("Tab", "the next of these"),
    )

    ACTION_KEYS: ClassVar[tuple[tuple[str, str], ...]] = WORKER_KEYS
    ACTION_HELP: ClassVar[tuple[tuple[str, str], ...]] = (("K  N  C", "kill the worker, restart it, cancel its call"),)

    def __init__(self, model: JobModel, source: JobSource, number: int, *, control: bool) -> None:
        super().__init__(control=control)
        self.model, self.source, self.number = model, source, number
        self._calls: Calls = []
        self._reasons: list[Explanation] = []
        self._uses: list[float] = []
        self._earlier: Calls = []  # its lines before those of the job's last ones
        self._stack: list[tuple[int, str]] = []

    def body(self) -> Iterable[Widget]:
        """Return the facts, and the tables."""
        switcher = ContentSwitcher(*(Listing(table, id=name) for name, table in _TABLES.items()), initial="lines")
        return Lines(id="facts"), Lines(id="tabs"), switcher

    @property
    def has_running_job(self) -> bool:
        """Whether the job still runs."""
        return self.model.is_running

    @property
    def shown(self) -> str:
        """The name of the table in sight."""
        return self.query_one(ContentSwitcher).current or "lines"

    @property
    def listing(self) -> Listing:
        """The table in sight."""
        return self.query_one(f"#{self.shown}", Listing)

    def on_mount(self) -> None:
        """Read what the history has of the worker."""
        super().on_mount()
        self.run_worker(self._read_details())

    def show_update(self, update: Update) -> None:
        """Draw what is new of the job."""
        self._calls, self._reasons = update.calls, update.reasons
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
        if row is not None:
            reasons = [Text(f" ! {reason_text(one, self.model.now)}", "yellow") for one in self._reasons]
            view = viewed(row, self.model.now, has_calls=overview["hasCalls"])
            self.query_one("#facts", Lines).show(*self._facts(view), *reasons)
        rows: dict[str, list[Any]] = {
            "lines": self._lines(),
            "calls": named_calls(self._calls, self.model.functions),
            "traceback": self._stack,
        }
        counts = {name: len(rows[name]) if name != "traceback" else 0 for name in rows}
        self.query_one("#tabs", Lines).show(tabs(counts, self.shown))
        self.listing.show_rows(rows[self.shown])

    def action_tab(self, name: str) -> None:
        """Show another table."""
        self.query_one(ContentSwitcher).current = name
        self.listing.focus()
        if name == "traceback":
            self._stack = [(0, f"reading where worker {self.number} is")]
            self.run_worker(self._read_stack(), exclusive=True, group="stack")
        self.draw()

    def action_next_tab(self, step: int) -> None:
        """Show the next table, or the one before."""
        names = list(_TABLES)
        self.action_tab(names[(names.index(self.shown) + step) % len(names)])

    def action_worker(self, do: str) -> None:
        """Kill or restart the worker, or cancel its call."""
        self.ask_worker(do, self.number, self.source.socket)

    async def _read_stack(self) -> None:
        try:
            text = await asyncio.to_thread(self.source.stack, self.number)
        except ControlError as error:
            text = str(error)
        self._stack = list(enumerate(text.splitlines()))
        if self.is_whole:
            self.draw()

    async def _read_details(self) -> None:
        details = await asyncio.to_thread(self.source.details, self.number)
        self._earlier = details["log"]
        self._uses = [row[1] for row in details["usageSeries"]][-_USES:]
        if self.is_whole:
            self.draw()

    def _lines(self) -> Calls:
        """Return its lines: those of the history, then those that came later."""
        last = self._earlier[-1][1] if self._earlier else -1.0
        return [*self._earlier, *(row for row in self.model.lines_of(self.number) if row[1] > last)]

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
    if not row["has_calls"]:
        return Text("not recorded: --ui or PARCS_UI=1 records them", "dim")
    text = Text(count(row["calls"]))
    if row["failed"]:
        text.append(", ").append(f"{count(row['failed'])} failed", "red")
    if row["share"] is not None and (row["calls"] or row["current"]):
        text.append("  ").append_text(bar(row["share"], 20)).append(f" busy {percent(row['share'])}")
    return text
