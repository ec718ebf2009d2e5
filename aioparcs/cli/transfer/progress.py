"""The progress of a transfer: a bar on a terminal, and elsewhere nothing."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

__all__ = ["counted", "show_progress"]


@contextmanager
def show_progress(verb: str, total: int | None, *, shown: bool) -> Iterator[Callable[[int], None]]:
    """
    Provide a function that shows how many bytes are done; what it has drawn is gone when the block is left.

    Args:
        verb: what is done.
        total: the bytes in all, None if unknown.
        shown: whether anything is shown.
    """
    if not shown or not sys.stderr.isatty():
        yield lambda done: None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(verb, total=total)
        yield lambda done: progress.update(task, completed=done)


def counted(files: int, size: int) -> str:
    """Return a number of files and of their bytes as text."""
    return f"{files} file{'s' * (files != 1)}, {decimal(size)}"
