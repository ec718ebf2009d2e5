"""The command ``aioparcs top``: jobs live in the terminal."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click

from aioparcs.cli.command import reported
from aioparcs.cli.modules import Usage
from aioparcs.transport import os_reason

if TYPE_CHECKING:
    from aioparcs.top.sources import JobSource

__all__ = ["top"]

_NAMED = 8  # jobs that an error names
_EXAMPLES = """
\b
Examples:
  aioparcs top                         all jobs of this machine
  aioparcs top primes                  the job whose name begins so
  aioparcs top primes --control        ... with keys that kill workers, resize pools and stop the job
  aioparcs top primes | head           once, as plain text
\b
Exit codes:
    0  closed with q, or printed
    1  textual is not installed, or the job's history can't be read
    2  the command line is wrong, or there is no such job
  130  ended by Ctrl-C
  143  ended by SIGTERM
"""


def _jobs_there(_: click.Context, __: click.Parameter, begun: str) -> list[str]:
    from aioparcs.recording.store import SUFFIX, histories

    names = sorted(path.name.removesuffix(SUFFIX) for path in histories())
    return [name for name in names if name.startswith(begun)]


@click.command(short_help="Show jobs live in the terminal.", epilog=_EXAMPLES)
@click.argument("job", required=False, shell_complete=_jobs_there)
@click.option("--control", is_flag=True, help="Have keys that do something to a job, each after a confirmation.")
def top(job: str | None, control: bool) -> None:
    """Show the jobs of this machine live in the terminal, or JOB: its workers, pools, log, and why it waits.

    JOB is a job's name or its first characters. The view reads histories, which jobs write by themselves; it costs them
    nothing. The key ? shows all keys. Where standard input or output is no terminal, it is printed once.
    """
    with reported():
        source = _source(job) if job else None
        if not _has_terminal():
            _print(source)
            return
        sys.exit(_run(source, control=control))


def _run(source: JobSource | None, *, control: bool) -> int:
    try:
        from aioparcs.top.app import run_top
    except ModuleNotFoundError as error:
        if error.name and error.name.partition(".")[0] == "textual":
            raise click.ClickException("aioparcs top needs textual: pip install 'aioparcs[top]'") from None
        raise
    return run_top(source, control=control)


def _source(name: str) -> JobSource:
    from aioparcs.monitor.jobs import histories_of
    from aioparcs.recording.store import SUFFIX, histories
    from aioparcs.top.sources import JobSource

    found = histories_of(name)
    if len(found) != 1:
        names = sorted(path.name.removesuffix(SUFFIX) for path in found or histories())
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        there = f"; there are: {', '.join(names[:_NAMED])}{more}" if names else ""
        raise Usage(f"several jobs have names that begin with {name!r}{there}" if found
                    else f"there is no job {name!r} on this machine{there}")  # fmt: skip
    (path,) = found
    try:
        return JobSource(path)
    except OSError as error:
        raise click.ClickException(f"{path} can't be read: {os_reason(error)}") from None


def _has_terminal() -> bool:
    streams = sys.stdin, sys.stdout  # one that is closed is None
    return all(stream and stream.isatty() for stream in streams) and os.environ.get("TERM") not in ("dumb", "unknown")


def _print(source: JobSource | None) -> None:
    from aioparcs.top.snapshot import job_snapshot, jobs_snapshot, print_lines

    lines = jobs_snapshot() if source is None else job_snapshot(source)
    try:
        print_lines(lines)
    except OSError as error:
        raise click.ClickException(f"standard output can't be written: {os_reason(error)}") from None
