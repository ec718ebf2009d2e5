"""The page of all jobs of this machine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import ClassVar

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.widget import Widget

from aioparcs.monitor import Jobs
from aioparcs.monitor.records import JobRow
from aioparcs.recording.store import socket_of
from aioparcs.top.listing import Lines, Listing
from aioparcs.top.screens.acting import ActingPage
from aioparcs.top.screens.job import JobPage
from aioparcs.top.sources import JobSource, watch
from aioparcs.top.tables import JOBS
from aioparcs.top.texts import plain

__all__ = ["JobsPage"]

_PAUSE = 1.0  # seconds between two looks at all jobs


class JobsPage(ActingPage):
    """
    All jobs.

    Args:
        jobs: the list of them.
        control: whether jobs may be stopped.
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("S", "stop", "stop the job")]

    MAIN_KEYS: ClassVar[tuple[tuple[str, str], ...]] = (
        ("Enter", "open"), ("/", "filter"), ("s", "sort"), ("?", "help"), ("q", "quit"),
    )  # fmt: skip

    ACTION_KEYS: ClassVar[tuple[tuple[str, str], ...]] = (("S", "stop"),)
    ACTION_HELP: ClassVar[tuple[tuple[str, str], ...]] = (("S", "stop the job, as SIGTERM would"),)

    def __init__(self, jobs: Jobs, *, control: bool) -> None:
        super().__init__(control=control)
        self._jobs = jobs
        self._rows: list[JobRow] | None = None

    @property
    def has_running_job(self) -> bool:
        """Whether the job at the cursor runs."""
        row: JobRow | None = self.listing.row
        return row is not None and row["state"] == "running"

    def body(self) -> Iterable[Widget]:
        """Return the table, and a line on the job at the cursor."""
        return Listing(JOBS), Lines(id="detail")

    def on_mount(self) -> None:
        """Look at the jobs from now on."""
        super().on_mount()
        self.run_worker(watch(self._poll, self._show, _PAUSE), exclusive=True)

    def draw(self) -> None:
        """Draw all jobs."""
        states = Counter(row["state"] for row in self._rows or ())
        counts = ", ".join(
            f"{states[state]} {state}" for state in ("running", "failed", "killed", "done") if states[state]
        )
        self.show_title("aioparcs top", counts if self._rows is not None else "reading")
        self.listing.show_rows(self._rows or ())
        self.show_keys()

    def on_listing_changed(self, changed: Listing.Changed) -> None:
        """Draw what the job at the cursor waits for, or how it has ended."""
        super().on_listing_changed(changed)
        row: JobRow | None = self.listing.row
        text = Text()
        if row and row["error"]:
            text = Text(f" {plain(row['error'])}", "red")
        elif row and row["waits"]:
            text = Text(f" waits: {plain('; '.join(row['waits']))}", "yellow")
        elif row:
            text = Text(f" {plain(row['program'])}", "dim")
        self.query_one("#detail", Lines).show(text)

    def on_listing_opened(self, opened: Listing.Opened) -> None:
        """Open a job."""
        path = self._jobs.path(opened.row["id"])
        try:
            if path is not None:
                self.app.push_screen(JobPage(JobSource(path), control=self.control))
        except OSError as error:
            self.say(f"its history can't be read: {error.strerror}", "bold red")

    def action_stop(self) -> None:
        """Stop the job at the cursor."""
        row: JobRow | None = self.listing.row
        path = self._jobs.path(row["id"]) if row else None
        if row and path:
            name = plain(row["id"])
            self.confirm(f"Stop the job {name}?", "It ends as by SIGTERM, with its workers.", socket_of(path), "stop")

    def _poll(self) -> list[JobRow] | None:
        return self._jobs.rows() if self.is_current or self._rows is None else None

    def _show(self, rows: list[JobRow] | None) -> bool:
        if rows is not None:
            self._rows = rows
            if self.is_whole:
                self.draw()
        return False
