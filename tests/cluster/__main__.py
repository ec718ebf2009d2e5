"""Bring the cluster up, describe it, take it down: ``python -m tests.cluster up``."""

import json
import sys
import time

import click
from rich.console import Console
from rich.table import Table

from tests.cluster.cluster import Cluster, down, up
from tests.cluster.command import ClusterError
from tests.cluster.places import Places
from tests.cluster.status import describe

_NOT_UP = "there is no cluster here; `python -m tests.cluster up` makes one"


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Run a real Swarm of several nodes on this machine (Linux, root)."""


@main.command(name="up")
@click.option("--nodes", default=3, show_default=True, type=click.IntRange(1, 50), help="How many.")
def up_command(nodes: int) -> None:
    """Bring it up, or what is missing of it."""
    begun = time.monotonic()
    cluster = up(nodes, lambda step: click.echo(step, err=True))
    click.echo(f"{len(cluster.nodes)} nodes are up ({time.monotonic() - begun:.0f} s)", err=True)
    _print_addresses(cluster)
    click.echo(f"Next: docker -H {cluster.leader.url} node ls; python -m tests.cluster down", err=True)


@main.command()
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def status(as_json: bool) -> None:
    """Tell what is up; exit code 1 when nothing is."""
    cluster = Cluster.here()
    if as_json:
        click.echo(json.dumps(describe(cluster), indent=2))
    elif cluster:
        table = Table("node", "address", "dockerd", "swarm")
        for node in describe(cluster)["nodes"]:
            table.add_row(node["name"], node["url"], node["dockerd"], node["swarm"])
        Console().print(table)
        _print_addresses(cluster)
    else:
        click.echo(_NOT_UP, err=True)
    sys.exit(0 if cluster else 1)


@main.command(name="down")
def down_command() -> None:
    """Take it down; what makes the next `up` fast stays."""
    cache = Places.here().cache
    outcome = "nothing is left of the cluster" if down() else "there is no cluster here"
    click.echo(f"{outcome}; the cache is in {cache}", err=True)


def _print_addresses(cluster: Cluster) -> None:
    """Print a line for a shell."""
    click.echo(f"export LEADER_URL={cluster.leader.url} PARCS_REGISTRY={cluster.registry.address}")


if __name__ == "__main__":
    try:
        main(prog_name="python -m tests.cluster")
    except ClusterError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(1)
