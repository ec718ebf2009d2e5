"""The command ``aioparcs diff``: two recordings side by side."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from aioparcs.cli.command import reported
from aioparcs.cli.report import read

if TYPE_CHECKING:
    from aioparcs.recording.comparison import Change

__all__ = ["diff"]

_EXAMPLES = """
\b
Examples:
  aioparcs diff before.jsonl after.jsonl
\b
Exit codes:
    0  done, whatever has changed
    1  a file can't be read or is no recording
    2  the command line is wrong, or there is no such file
"""
_WIDE = 1000  # columns where there is no terminal


@click.command(short_help="Compare two recordings.", epilog=_EXAMPLES)
@click.argument("before", type=click.Path(exists=True, dir_okay=False))
@click.argument("after", type=click.Path(exists=True, dir_okay=False))
def diff(before: str, after: str) -> None:
    """Show the numbers of two recordings side by side: of the programs, and of each function.

    A star marks a mean that differs by more than twice its spread in both; without one, chance may explain it.
    """
    from aioparcs.recording.comparison import compare
    from aioparcs.recording.history import history_of
    from aioparcs.recording.summary import summarize

    with reported():
        first, second = (summarize(history_of(read(Path(path)))) for path in (before, after))
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("", "", "BEFORE", "AFTER", "CHANGE", ""):
        table.add_column(title, overflow="fold", justify="right" if title else "left")
    subject = ""
    for change in compare(first, second):
        name = change.subject if change.subject != subject else ""
        subject = change.subject
        values = (_shown(change.before, change.unit), _shown(change.after, change.unit), _relative(change))
        table.add_row(Text(name), change.what, *values, "*" if change.is_clear else "")
    Console(highlight=False, width=None if sys.stdout.isatty() else _WIDE).print(table)


def _shown(value: float | None, unit: str) -> str:
    if value is None:
        return "-"
    if unit == "":
        return f"{value:,.0f}"
    if unit == "%":
        return f"{100 * value:.1f} %"
    if unit == "/s":
        return f"{value:,.1f}/s"
    if value >= 1:
        return f"{value:,.2f} s"
    return f"{1e3 * value:.3g} ms" if value >= 0.001 else f"{1e6 * value:.3g} us"


def _relative(change: Change) -> str:
    if change.unit == "%" and change.before is not None and change.after is not None:
        return f"{100 * (change.after - change.before):+.1f} points"
    return "" if change.ratio is None else f"{100 * (change.ratio - 1):+.1f} %"
