"""The command ``aioparcs journal``: what a journal of a pool holds."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.table import Table

from aioparcs.cli.command import reported

if TYPE_CHECKING:
    from aioparcs.journal import JournalSummary

__all__ = ["journal"]

_EXAMPLES = """
\b
Examples:
  aioparcs journal run.journal
  aioparcs journal run.journal --json | jq '[.functions[].results] | add'
\b
Exit codes:
    0  done
    1  the file can't be read, is no journal, or is damaged
    2  the command line is wrong, or there is no such file
"""
_WIDE = 1000  # columns where there is no terminal: a table in a file or a pipe is not folded
_SHORT = 8  # digits of a version, which tell it from the others


@click.command(short_help="Show what a journal of a pool holds.", epilog=_EXAMPLES)
@click.argument("file", type=click.Path(exists=True, dir_okay=False))
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
def journal(file: str, as_json: bool) -> None:
    """Show the functions whose results are in FILE, a journal of a pool: one line for each version of a function.

    The file is only read; a run may be writing it. Bytes are those in the file.
    """
    from aioparcs.journal import summarize

    with reported():
        summary = summarize(file)
    if as_json:
        click.echo(json.dumps(_described(summary), indent=2))
        return
    Console(highlight=False, width=None if sys.stdout.isatty() else _WIDE).print(_table(summary))
    if summary.unfinished:
        click.echo(f"its last {summary.unfinished} bytes are of a record that is not whole, and will be cut off")


def _table(summary: JournalSummary) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("FUNCTION", "VERSION", "RESULTS", "BYTES", "FIRST", "LAST"):
        table.add_column(title, overflow="fold", justify="right" if title in ("RESULTS", "BYTES") else "left")
    for one in summary.functions:
        table.add_row(one.name, one.version.hex()[:_SHORT], str(one.results), str(one.size),
                      _local(one.first), _local(one.last))  # fmt: skip
    return table


def _described(summary: JournalSummary) -> dict[str, Any]:
    functions = [
        {"function": one.name, "version": one.version.hex(), "results": one.results, "bytes": one.size,
         "first": _iso(one.first), "last": _iso(one.last)}
        for one in summary.functions
    ]  # fmt: skip
    return {"journal": summary.path, "bytes": summary.size, "unfinished": summary.unfinished, "functions": functions}


def _local(time: float | None) -> str:
    return "" if time is None else f"{datetime.fromtimestamp(time):%Y-%m-%d %H:%M:%S}"


def _iso(time: float | None) -> str | None:
    return None if time is None else datetime.fromtimestamp(time, UTC).isoformat(timespec="milliseconds")
