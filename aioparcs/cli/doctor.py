"""The command ``aioparcs doctor``: checks of a cluster, or of this machine."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING

import click

from aioparcs.cli.command import run_command

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aioparcs.engine.checks import Check

__all__ = ["doctor", "print_check"]

_DOCTOR_EXAMPLES = """
\b
Examples:
  aioparcs doctor
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
_NAMES = ("LEADER_URL", "DOCKER_HOST", "DOCKER_CONTEXT")  # of variables that name a cluster
_COLORS = {"ok": "green", "warning": "yellow", "failed": "red"}


@click.command(short_help="Check that this machine, or the cluster, is ready for jobs.", epilog=_DOCTOR_EXAMPLES)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list of the checks.")
def doctor(as_json: bool) -> None:
    """Check that this machine, or the cluster, is ready for jobs, and say how to fix each problem.

    Without a cluster (LEADER_URL, or Docker's own DOCKER_HOST and DOCKER_CONTEXT) it checks this machine: Python and
    packages, limits and memory, and that a worker starts. With one it checks the cluster: a container of the base
    image runs on each node for some seconds, and dials the registry and this host.
    """
    checks = run_command(_examine(as_json))
    if as_json:
        click.echo(json.dumps([check._asdict() for check in checks], indent=2))
    sys.exit(any(check.state == "failed" for check in checks))


async def _examine(as_json: bool) -> list[Check]:
    """Return the checks; print each as soon as it is done, unless all are printed as JSON."""
    checks = []
    async for check in _checks():
        checks.append(check)
        if not as_json:
            print_check(check)
    return checks


def _checks() -> AsyncIterator[Check]:
    """Return the checks of the cluster that the environment names, or else of this machine."""
    if any(map(os.environ.get, _NAMES)) or os.environ.get("PARCS_ENGINE") == "swarm":
        from aioparcs.swarm.doctor.checks import examine  # with Docker's libraries

        return examine()
    from aioparcs.cli.machine import examine_machine  # with a runner

    return examine_machine()


def print_check(check: Check) -> None:
    """Print the result of a check, and what to do about it."""
    click.echo(f"{click.style(f'{check.state:8}', _COLORS[check.state])}{check.name}: {check.text}")
    if check.advice:
        click.echo(f"{'':8}  {check.advice}")
