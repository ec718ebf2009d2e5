"""The commands about clusters: ``aioparcs cluster init``, ``up``, ``add``, ``remove``, ``status``, ``down``."""

from __future__ import annotations

import click

from aioparcs.cli.cluster.making import add, init, up
from aioparcs.cli.cluster.nodes import down, remove, status

__all__ = ["cluster"]


@click.group()
def cluster() -> None:
    """Make a cluster, change it, or prepare one for jobs."""


for command in (init, up, add, remove, status, down):
    cluster.add_command(command)
