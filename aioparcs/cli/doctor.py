"""The command ``aioparcs doctor``: checks of a cluster."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import click

from aioparcs.cli.command import run_command

if TYPE_CHECKING:
    from aioparcs.swarm.doctor.checks import Check

__all__ = ["doctor"]

_DOCTOR_EXAMPLES = """
\b
Examples:
  LEADER_URL=tcp://10.138.0.6:4321 aioparcs doctor
  aioparcs doctor --json | jq '.[] | select(.state != "ok")'
\b
Exit codes:
    0  nothing has failed; there may be warnings
    1  something has failed
    2  the command line or a setting is wrong
  130  ended by Ctrl-C
  143  ended by SIGTERM
"""
_COLORS = {"ok": "green", "warning": "yellow", "failed": "red"}


@click.command(short_help="Check that the cluster is ready for jobs.", epilog=_DOCTOR_EXAMPLES)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list of the checks.")
def doctor(as_json: bool) -> None:
    """Check that the cluster is ready for jobs, and say how to fix each problem.

    A container of the base image runs on each node for some seconds, and dials the registry and this host.
    """
    checks = run_command(_examine(as_json))
    if as_json:
        click.echo(json.dumps([check._asdict() for check in checks], indent=2))
    sys.exit(any(check.state == "failed" for check in checks))


async def _examine(as_json: bool) -> list[Check]:
    """Return the checks; print each as soon as it is done, unless all are printed as JSON."""
    from aioparcs.swarm.doctor.checks import examine

    checks = []
    async for check in examine():
        checks.append(check)
        if not as_json:
            click.echo(f"{click.style(f'{check.state:8}', _COLORS[check.state])}{check.name}: {check.text}")
            if check.advice:
                click.echo(f"{'':8}  {check.advice}")
    return checks
