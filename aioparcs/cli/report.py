"""The commands ``aioparcs report`` and ``aioparcs diff``: what a recording shows."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import click

from aioparcs.cli.command import reported
from aioparcs.cli.modules import Usage

if TYPE_CHECKING:
    from aioparcs.recording import Recording

__all__ = ["read", "report", "run_with_page", "write_text"]

_EXAMPLES = """
\b
Examples:
  aioparcs run hello --record run.jsonl
  aioparcs report run.jsonl            write run.html
  aioparcs report run.jsonl -o -       write it to standard output
  aioparcs report run.jsonl --trace run.json
\b
Exit codes:
    0  done
    1  the file can't be read or is no recording, or the page can't be written
    2  the command line is wrong, or there is no such file
"""


@click.command(short_help="Make a page of a recording.", epilog=_EXAMPLES)
@click.argument("file", type=click.Path(exists=True, dir_okay=False))
@click.option("-o", "--output", metavar="OUT", type=click.Path(dir_okay=False, allow_dash=True),
              help="The page that is written; - is standard output.  [default: FILE with .html]")  # fmt: skip
@click.option("--trace", metavar="OUT", type=click.Path(dir_okay=False, allow_dash=True),
              help="Write a trace for ui.perfetto.dev or chrome://tracing in place of the page.")  # fmt: skip
def report(file: str, output: str | None, trace: str | None) -> None:
    """Write a page on FILE, a recording of a program: a timeline of its workers, their calls, errors and output.

    The page is one file below 1 MB, which needs no network. FILE may be of a program that still runs.
    """
    path = Path(file)
    if trace and output:
        raise Usage("use either -o or --trace, not both")
    target = trace or output or os.fspath(path.with_suffix(".html"))
    if target != "-" and os.path.realpath(target) == os.path.realpath(path):
        raise Usage(f"{target} is the recording itself; name another file with -o")
    with reported():
        recording = read(path)
        write_text(target, _trace(recording) if trace else _page(recording))
    if target != "-":
        click.echo(target)


def _page(recording: Recording) -> str:
    from aioparcs.recording.report import render_report

    return render_report(recording)


def _trace(recording: Recording) -> str:
    from aioparcs.recording.trace_events import trace_events

    return json.dumps(trace_events(recording), separators=(",", ":")) + "\n"


def run_with_page(program: Callable[[str], int], record: str, page: str) -> int:
    """
    Run a program, write the page on its recording however it ends, and return its exit code.

    Args:
        program: is called with the file that it is to be recorded in.
        record: that file; "" for one that is removed.
        page: the page.
    """
    with TemporaryDirectory(prefix="aioparcs-") as folder:
        file = record or os.path.join(folder, "run.jsonl")
        is_written = False
        try:
            code = program(file)
        finally:
            if os.path.exists(file):
                is_written = _try_page(Path(file), page)
    return code or int(not is_written)


def _try_page(file: Path, page: str) -> bool:
    try:
        write_text(page, _page(read(file)))
    except click.ClickException as error:
        click.echo(f"error: --report: {error.message}", err=True)
        return False
    return True


def read(path: Path) -> Recording:
    """
    Return a recording.

    Raises:
        ClickException: it can't be read, or is none.
    """
    from aioparcs.recording import read_recording

    try:
        return read_recording(path)
    except ValueError as error:
        raise click.ClickException(str(error)) from None
    except OSError as error:
        raise click.ClickException(f"{path} can't be read: {error.strerror}") from None


def check_target(target: str, beginning: str) -> None:
    """
    Check that a file may be written whose text begins so.

    Raises:
        ClickException: it has something else, such as a program.
    """
    from aioparcs.recording.recorder import has_something_else

    if has_something_else(target, beginning):
        raise click.ClickException(f"{target} is there and is something else: remove it, or name another file")


def write_text(target: str, text: str) -> None:
    """
    Write a file, or standard output for ``-``. One of the same kind is replaced, and nothing else is.

    Raises:
        ClickException: it can't be written, or has something else.
    """
    if target == "-":
        click.echo(text, nl=False)
        return
    check_target(target, text[:2])
    try:
        Path(target).write_text(text, encoding="utf-8")
    except OSError as error:
        raise click.ClickException(f"{target} can't be written: {error.strerror}") from None
