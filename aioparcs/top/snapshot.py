"""The live view at one moment, as plain text; without textual."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from aioparcs.monitor import Jobs
from aioparcs.top.columns import Table
from aioparcs.top.model import JobModel, viewed
from aioparcs.top.overview import overview_lines, reason_lines
from aioparcs.top.sources import JobSource
from aioparcs.top.tables import JOBS, WORKERS
from aioparcs.top.texts import elapsed, plain

__all__ = ["job_snapshot", "jobs_snapshot", "print_lines"]

_WIDE = 160  # columns where there is no terminal
_MANY = 1000  # more pools and reasons than a job shows


def jobs_snapshot(width: int = _WIDE) -> list[Text]:
    """Return the table of all jobs."""
    jobs = Jobs()
    try:
        return _table(JOBS, jobs.rows(), width)
    finally:
        jobs.close()


def job_snapshot(source: JobSource, width: int = _WIDE) -> list[Text]:
    """Return the head of a job, and the table of its workers; close the source."""
    model = JobModel()
    try:
        is_behind = True
        while is_behind:
            update = source.poll()
            is_behind, model.now = update.is_behind, update.now
            if update.message is not None:
                model.apply(update.message)
    finally:
        source.close()
    assert model.overview is not None, "the first message has it"
    head = Text(f" {plain(model.overview['id'])}  {model.overview['state']}  {elapsed(model.now)}")
    lines = [head, *overview_lines(model, width, _MANY), *reason_lines(model, width, _MANY), Text()]
    workers = [viewed(row, model.now, has_calls=model.has_calls) for row in model.workers.values()]
    return lines + _table(WORKERS, workers, width)


def print_lines(lines: Sequence[Text]) -> None:
    """Print lines to standard output, in colours if it is a terminal."""
    console = Console(highlight=False, markup=False, soft_wrap=True)
    for line in lines:
        line.rstrip()
        console.print(line)


def _table(table: Table, rows: Sequence[Any], width: int) -> list[Text]:
    if not rows:
        return [Text(table.empty)]
    return [table.head(width, table.order), *(table.line(row, width) for row in table.shown(rows, "", table.order))]
