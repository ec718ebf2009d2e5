"""The commands about the nodes of a cluster: ``aioparcs cluster status``, ``remove`` and ``down``."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from aioparcs.cli.cluster.options import inventory_option
from aioparcs.cli.cluster.printing import need_asyncssh, print_failures, print_line, print_problems
from aioparcs.cli.command import EXIT_CODES, reported, run_command

if TYPE_CHECKING:
    from aioparcs.provision.cluster import ClusterState
    from aioparcs.provision.plans.nodes import Node
    from aioparcs.provision.plans.removal import Removal

__all__ = ["down", "remove", "status"]

_WIDE = 200  # columns, where the output is not a terminal
_STATUS_EXAMPLES = """
\b
Examples:
  aioparcs cluster status
  aioparcs cluster status --json | jq '.nodes[] | select(.state != "ready")'
"""
_REMOVE_EXAMPLES = """
\b
Example:
  aioparcs cluster remove node3
"""
_DOWN_EXAMPLES = """
\b
Examples:
  aioparcs cluster down --plan
  aioparcs cluster down --yes
"""


@click.command(short_help="Show the nodes of a cluster.", epilog=_STATUS_EXAMPLES + EXIT_CODES)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
def status(as_json: bool) -> None:
    """Show the nodes of the cluster, its network, its registry and how many jobs are on it."""
    from aioparcs.provision.cluster import read_cluster

    cluster = run_command(read_cluster())
    if as_json:
        click.echo(json.dumps(_described(cluster), indent=2))
        return
    Console(highlight=False, width=None if sys.stdout.isatty() else _WIDE).print(_table(cluster))
    click.echo(f"leader: {cluster.leader}")
    click.echo(f"network: {cluster.network or 'none; aioparcs cluster init makes it'}")
    click.echo(f"registry: {cluster.registry or 'none that aioparcs has made'}")
    click.echo(f"jobs: {', '.join(cluster.jobs) or 'none'}")


def _table(cluster: ClusterState) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("NODE", "ROLE", "STATE", "ADDRESS", "CPUS", "MEMORY", "DOCKER", "SSH"):
        table.add_column(title, overflow="fold", justify="right" if title in ("CPUS", "MEMORY") else "left")
    for node in cluster.nodes:
        table.add_row(Text(node.name), "manager" if node.manager else "worker", _state(node), node.address,
                      f"{node.cpus:g}", f"{node.memory / 1e9:.1f} GB", node.docker, Text(node.url or "-"))  # fmt: skip
    return table


def _state(node: Node) -> str:
    return node.state if node.availability == "active" else f"{node.state}, {node.availability}"


def _described(cluster: ClusterState) -> dict[str, object]:
    nodes = [node._asdict() | {"name": node.name} for node in cluster.nodes]
    return cluster._asdict() | {"nodes": nodes}


@click.command(short_help="Remove a host from a cluster.", epilog=_REMOVE_EXAMPLES + EXIT_CODES)
@click.argument("host")
@inventory_option("A file in TOML that has the keys of hosts.")
@click.option("--plan", "only_plan", is_flag=True, help="Print the steps, and change nothing.")
def remove(host: str, inventory: Path | None, only_plan: bool) -> None:
    """Remove HOST from the cluster: it is drained, and leaves when its containers have ended.

    The calls of pools go on on other nodes; other workers there are lost. A host that is down is only removed from the
    list of nodes. Docker stays installed.
    """
    keys = _keys(inventory)
    sys.exit(run_command(_remove(host, keys, only_plan=only_plan)))


async def _remove(host: str, keys: Mapping[str, str], *, only_plan: bool) -> int:
    from aioparcs.provision.cluster import read_cluster, removal_plan
    from aioparcs.provision.plans.nodes import find_node

    cluster = await read_cluster()
    plan = removal_plan(cluster, find_node(cluster.nodes, host))
    return await _carry_out(plan, keys, only_plan=only_plan)


@click.command(short_help="End a cluster.", epilog=_DOWN_EXAMPLES + EXIT_CODES)
@inventory_option("A file in TOML that has the keys of hosts.")
@click.option("--yes", "is_sure", is_flag=True, help="Don't ask.")
@click.option("--plan", "only_plan", is_flag=True, help="Print the steps, and change nothing.")
def down(inventory: Path | None, is_sure: bool, only_plan: bool) -> None:
    """End the cluster that `aioparcs cluster up` has made: all hosts leave the Swarm, and its registry is removed.

    Docker stays installed. Nothing is done while jobs are on the cluster, or nodes that aioparcs has not put there.
    """
    keys = _keys(inventory)
    sys.exit(run_command(_down(keys, is_sure=is_sure, only_plan=only_plan)))


async def _down(keys: Mapping[str, str], *, is_sure: bool, only_plan: bool) -> int:
    from aioparcs.provision.cluster import end_plan, read_cluster

    cluster = await read_cluster()
    plan = end_plan(cluster)
    if plan.stages and not only_plan and not is_sure:
        names = ", ".join(node.name for node in plan.hosts)
        images = f", and {cluster.registry} with its images" if cluster.registry else ""
        click.confirm(f"End the Swarm of {names}{images}?", abort=True)
    return await _carry_out(plan, keys, only_plan=only_plan)


def _keys(inventory: Path | None) -> dict[str, str]:
    """Return the keys of hosts that an inventory names, before the cluster is asked for anything."""
    need_asyncssh()
    from aioparcs.provision.inventory import read_inventory

    with reported():
        return {host.name: host.key for host in read_inventory(inventory)} if inventory else {}


async def _carry_out(plan: Removal, keys: Mapping[str, str], *, only_plan: bool) -> int:
    """Print a plan or carry it out, and return the exit code."""
    from aioparcs.provision.cluster import carry_out_removal

    print_problems(plan.problems)
    if any(problem.fatal for problem in plan.problems):
        return 1
    if only_plan:
        for step in (step for stage in plan.stages for step in stage):
            print_line("plan", f"{step.host}: {step}")
        return 0
    failed = await carry_out_removal(plan, lambda step: print_line("done", f"{step.host}: {step}"), keys)
    return int(print_failures(failed))
