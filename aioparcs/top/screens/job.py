"""The page of one job."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.widget import Widget
from textual.widgets import ContentSwitcher

from aioparcs.top.columns import Table
from aioparcs.top.listing import Lines, Listing
from aioparcs.top.model import JobModel, viewed
from aioparcs.top.overview import overview_lines, reason_lines
from aioparcs.top.screens.acting import WORKER_BINDINGS, WORKER_KEYS, ActingPage
from aioparcs.top.screens.dialogs import Reading
from aioparcs.top.screens.worker import WorkerPage
from aioparcs.top.sources import JobSource, Update, watch
from aioparcs.top.tables import FAILURES, FUNCTIONS, LOG, POOLS, REASONS, WORKERS, ReasonView, reason_text
from aioparcs.top.tabs import tabs
from aioparcs.top.texts import elapsed, plain

__all__ = ["JobPage"]

_PAUSE = 0.25  # seconds between two looks at the history
_TABLES: dict[str, Table] = {
    "workers": WORKERS,
    "log": LOG,
    "pools": POOLS,
    "calls": FUNCTIONS,
    "failures": FAILURES,
    "explain": REASONS,
}
_WORKERS = {"workers": "number", "log": 3, "failures": 4}  # where rows have the number of a worker
_LOW, _HIGH = 30, 36  # lines of a terminal from which there is room for more pools, and for the last lines of the log


class JobPage(ActingPage):
    """
    One job: its numbers, why it waits, and a table of its workers, lines, pools or functions.

    Args:
        source: its history, which the page closes.
        control: whether something may be done to the job.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        *(Binding(name[0], f"tab('{name}')", name) for name in _TABLES),
        Binding("tab", "next_tab(1)", "next table"),
        Binding("shift+tab", "next_tab(-1)", "table before"),
        *WORKER_BINDINGS,
        Binding("R", "resize", "resize the pool"),
        Binding("S", "stop", "stop the job"),
    ]
    MAIN_KEYS: ClassVar[tuple[tuple[str, str], ...]] = (
        ("Enter", "open"), ("Esc", "back"), ("/", "filter"), ("s", "sort"), ("Tab", "tables"), ("?", "help"),
        ("q", "quit"),
    )  # fmt: skip
    OWN_KEYS: ClassVar[tuple[tuple[str, str], ...]] = (
        ("w l p c f", "workers, log, pools, calls by function, failed calls"),
        ("e", "explain: all reasons why it waits"),
        ("Tab", "the next of these"),
    )

    ACTION_KEYS: ClassVar[tuple[tuple[str, str], ...]] = (*WORKER_KEYS, ("R", "resize"), ("S", "stop"))
    ACTION_HELP: ClassVar[tuple[tuple[str, str], ...]] = (
        ("K  N  C", "kill the worker of the row, restart it, cancel its call"),
        ("R", "resize the pool: that of the row, or the only one"),
        ("S", "stop the job, as SIGTERM would"),
    )

    def __init__(self, source: JobSource, *, control: bool) -> None:
        super().__init__(control=control)
        self.source = source
        self.model = JobModel()
        self._is_behind = True
        self._worker_page: WorkerPage | None = None

    def body(self) -> Iterable[Widget]:
        """Return the head, the tables, and the last lines of the log."""
        tables = [Listing(table, id=name) for name, table in _TABLES.items()]
        switcher = ContentSwitcher(*tables, initial="workers")
        return Lines(id="overview"), Lines(id="reasons"), Lines(id="tabs"), switcher, Lines(id="tail")

    @property
    def has_running_job(self) -> bool:
        """Whether the job still runs."""
        return self.model.is_running

    @property
    def shown(self) -> str:
        """The name of the table in sight."""
        return self.query_one(ContentSwitcher).current or "workers"

    @property
    def listing(self) -> Listing:
        """The table in sight."""
        return self.query_one(f"#{self.shown}", Listing)

    def on_mount(self) -> None:
        """Follow the history from now on."""
        super().on_mount()
        self.run_worker(watch(self.source.poll, self._show, _PAUSE), exclusive=True)

    def on_unmount(self) -> None:
        """Close the history."""
        self.source.close()

    def draw(self) -> None:
        """Draw the job."""
        model, width, height = self.model, self.size.width, self.size.height
        self._draw_title()
        self.query_one("#overview", Lines).show(*overview_lines(model, width, 6 if height >= _LOW else 3))
        self.query_one("#reasons", Lines).show(*reason_lines(model, width, 4 if height >= _LOW else 2))
        self.query_one("#tabs", Lines).show(tabs(self._counts(), self.shown))
        self.listing.show_rows(self._rows())
        has_tail = height >= _HIGH and self.shown != "log"
        tail = [LOG.line(row, width) for row in list(model.log)[-6:]] if has_tail else []
        self.query_one("#tail", Lines).show(*([Text("─" * width, "dim"), *tail] if tail else []))

    def on_listing_opened(self, opened: Listing.Opened) -> None:
        """Open the worker that a row is about; show the whole text of a reason."""
        if self.shown == "explain":
            row: ReasonView = opened.row
            self.app.push_screen(Reading(plain(row["subject"]), reason_text(row, row["now"])))
        number = self._worker(opened.row)
        if number is None or number not in self.model.workers:
            return
        self.source.worker = number
        self._worker_page = WorkerPage(self.model, self.source, number, control=self.control)
        self.app.push_screen(self._worker_page, self._forget_worker)

    def action_tab(self, name: str) -> None:
        """Show another table."""
        self.query_one(ContentSwitcher).current = name
        self.listing.focus()
        self.draw()

    def action_next_tab(self, step: int) -> None:
        """Show the next table, or the one before."""
        names = list(_TABLES)
        self.action_tab(names[(names.index(self.shown) + step) % len(names)])

    def action_worker(self, do: str) -> None:
        """Kill or restart the worker of the row, or cancel its call."""
        number = self._worker(self.listing.row)
        if number is not None:
            self.ask_worker(do, number, self.source.socket)
        elif self.may_act():
            self.say("w shows the workers, choose one there", "yellow")

    def action_resize(self) -> None:
        """Resize the pool of the row, or the only one that is open."""
        pools = [pool for pool in self.model.pools if pool["ended"] is None]
        if self.shown == "pools" and self.listing.row is not None:
            pools = [self.listing.row]
        if len(pools) == 1:
            self.ask_size(pools[0]["name"], pools[0]["id"], pools[0]["wanted"], self.source.socket)
        elif self.may_act():
            self.say("p shows the pools, choose one there" if pools else "no pool is open", "yellow")

    def action_stop(self) -> None:
        """Stop the job."""
        name = plain(self.source.name)
        self.confirm(f"Stop the job {name}?", "It ends as by SIGTERM, with its workers.", self.source.socket, "stop")

    def _worker(self, row: Any) -> int | None:
        """Return the number of the worker that a row is about, None for none."""
        if row is None or self.shown not in _WORKERS:
            return None
        number: int | None = row[_WORKERS[self.shown]]
        return number

    def _forget_worker(self, _: None = None) -> None:
        self._worker_page = self.source.worker = None

    def _show(self, update: Update) -> bool:
        if update.message is not None:
            self.model.apply(update.message)
        self.model.now, self._is_behind = update.now, update.is_behind
        if self.is_current and self.is_whole:
            self.draw()
        if self._worker_page is not None and self._worker_page.is_whole:
            self._worker_page.show_update(update)
        return update.is_behind

    def _draw_title(self) -> None:
        overview = self.model.overview
        if overview is None:
            self.show_title("aioparcs top", "reading")
            return
        state = "reading" if self._is_behind else overview["state"]
        right = f"{state}  {elapsed(self.model.now)}"
        self.show_title(f"aioparcs top > {plain(overview['id'])}", right)

    def _counts(self) -> dict[str, int]:
        model = self.model
        parts = (model.workers, model.log, model.pools, model.functions, model.failures, model.explain)
        return dict(zip(_TABLES, map(len, parts), strict=True))

    def _rows(self) -> list[Any]:
        model = self.model
        match self.shown:
            case "workers":
                return [viewed(row, model.now, has_calls=model.has_calls) for row in model.workers.values()]
            case "log":
                return list(model.log)
            case "pools":
                return list(model.pools)
            case "calls":
                return list(model.functions)
            case "failures":
                return list(model.failures)
        return [ReasonView(**reason, now=model.now) for reason in model.explain]
