"""The program on the terminal."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

from textual.app import App
from textual.binding import Binding, BindingType

from aioparcs.monitor import Jobs
from aioparcs.top.screens.job import JobPage
from aioparcs.top.screens.jobs import JobsPage
from aioparcs.top.sources import JobSource

__all__ = ["TopApp", "run_top"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class TopApp(App[None]):
    """
    The live view of jobs. It uses the terminal's own colours, and none with ``NO_COLOR``.

    Args:
        jobs: the list of jobs.
        source: the job whose page comes first, None for the list.
        control: whether something may be done to jobs.
    """

    CSS = """
    Page { background: ansi_default; color: ansi_default; }
    ContentSwitcher { height: 1fr; }
    """
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "quit", "quit"),
        Binding("ctrl+c", "interrupt", "quit", priority=True),
        Binding("ctrl+z", "suspend_process", "suspend"),
    ]

    def __init__(self, jobs: Jobs, source: JobSource | None = None, *, control: bool = False) -> None:
        super().__init__(ansi_color=True)  # known from the beginning, which NO_COLOR needs
        self.theme = "ansi-dark"
        self.title = "aioparcs top"
        self._control = control
        self._jobs, self._source = jobs, source

    def on_mount(self) -> None:
        """Show the first page."""
        self.push_screen(JobsPage(self._jobs, control=self._control))
        if self._source is not None:
            self.push_screen(JobPage(self._source, control=self._control))

    def action_interrupt(self) -> None:
        """End as Ctrl-C ends a program."""
        self.end(signal.SIGINT)

    def end(self, number: int) -> None:
        """End by a signal: the terminal becomes what it was."""
        self.exit(return_code=128 + number)


def run_top(source: JobSource | None, *, control: bool) -> int:
    """
    Show the live view on this terminal until it is closed, and return the exit code.

    Args:
        source: the job whose page comes first, None for the list of jobs.
        control: whether something may be done to jobs.
    """
    jobs = Jobs()
    try:
        return asyncio.run(_run(TopApp(jobs, source, control=control)))
    finally:
        jobs.close()


async def _run(app: TopApp) -> int:
    with _signals(app):
        await app.run_async(mouse=False)  # so that the terminal itself can select text
    return app.return_code or 0


@contextmanager
def _signals(app: TopApp) -> Iterator[None]:
    """Close the app on signals while the block runs."""
    loop = asyncio.get_running_loop()
    for number in _SIGNALS:
        loop.add_signal_handler(number, app.end, number)
    try:
        yield
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
