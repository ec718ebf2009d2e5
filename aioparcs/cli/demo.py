"""The command ``aioparcs demo``: the first run, for which nothing has to be written."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from aioparcs.cli.execute import EX_INTERRUPTED, execute, terminable
from aioparcs.cli.new import command_line
from aioparcs.display import Detail, open_display

__all__ = ["MODULES", "VARIABLES", "demo"]

MODULES = Path(__file__).parent / "examples"  # in a clone links to the two of examples/, in a wheel copies
VARIABLES = {"N": "111111111", "P": "8"}
_EXIT_CODES = """
\b
Example:
  aioparcs demo
\b
Exit codes: those of `aioparcs run`.
"""


@click.command(short_help="Find the divisors of a number on 8 workers.", epilog=_EXIT_CODES)
def demo() -> None:
    """Find the divisors of a number on 8 workers of this machine, and show them while they work.

    It is the program examples/runner of aioparcs, with the service examples/factor.
    """
    following = command_line("new", "hello")
    os.environ.update(VARIABLES, PARCS_ENGINE="local", PARCS_MODULES=str(MODULES))
    try:
        with terminable(), open_display(Detail.NORMAL, program="demo"):
            code = execute(MODULES / "runner")
    except KeyboardInterrupt:  # between two lines of ours
        code = EX_INTERRUPTED
    if not code:
        click.echo(f"Next: {following}")
    sys.exit(code)
