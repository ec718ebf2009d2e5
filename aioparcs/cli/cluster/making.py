"""The commands that make a cluster: ``aioparcs cluster init``, ``up`` and ``add``."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from aioparcs.cli.cluster.options import accept_new_option, inventory_option
from aioparcs.cli.cluster.printing import need_asyncssh, print_failures, print_line, print_problems, status
from aioparcs.cli.command import EXIT_CODES, reported, run_command

if TYPE_CHECKING:
    from aioparcs.provision.plans.hosts import Host
    from aioparcs.provision.plans.plan import Wishes
    from aioparcs.provision.up import Prepared
    from aioparcs.swarm.engine.overlay import Overlay

__all__ = ["add", "init", "up"]

_INIT_EXAMPLES = """
\b
Examples:
  aioparcs cluster init
  aioparcs cluster init --subnet 10.200.0.0/20
"""
_UP_EXAMPLES = """
\b
Examples:
  aioparcs cluster up node1 node2 node3 --user ada --plan
  aioparcs cluster up node1 node2 node3 --registry registry.example.com/team
  aioparcs cluster up 203.0.113.11 203.0.113.12 ada@203.0.113.13:2222 --accept-new
  aioparcs cluster up --inventory cluster.toml
\b
Exit codes:
    0  the cluster is up, or with --plan: nothing is in the way
    1  something is in the way, or a step has failed
    2  the command line or a setting is wrong
  130  ended by Ctrl-C
  143  ended by SIGTERM
"""
_ADD_EXAMPLES = """
\b
Examples:
  aioparcs cluster add node4 --user ada
  aioparcs cluster add node4 node5 --plan
"""
_RUNNER = "runner here"  # the doctor's check of a runner outside the cluster


@click.command(short_help="Create the network of the jobs.", epilog=_INIT_EXAMPLES + EXIT_CODES)
@click.option("--subnet", metavar="CIDR",
              help="The subnet.  [default: the first /20 of 10.76.0.0/14 that overlaps nothing in use]")  # fmt: skip
def init(subnet: str | None) -> None:
    """Create the network of the jobs: an attachable overlay, with room for 4,000 containers.

    Its name is parcs, unless PARCS_NETWORK gives another. An existing network is checked, and never changed.
    """
    network = run_command(_init(subnet))
    state = "created" if network.created else "already exists"
    click.echo(f"network {network.name}: {state}, {network.subnet}, room for {network.capacity} containers")


async def _init(subnet: str | None) -> Overlay:
    from aioparcs.swarm.docker.client import open_swarm
    from aioparcs.swarm.engine.overlay import ensure_overlay

    async with open_swarm() as swarm:
        return await ensure_overlay(swarm, subnet)


@click.command(short_help="Make a cluster of machines that ssh reaches.", epilog=_UP_EXAMPLES)
@click.argument("host", nargs=-1)
@inventory_option("A file in TOML that names the hosts, with user, port, key, address, role and labels of each.")
@click.option("--user", metavar="U",
              help="Who logs in, root or one who may use sudo without a password.  [default: as ssh does]")  # fmt: skip
@accept_new_option
@click.option("--registry", metavar="R",
              help="A registry that all hosts can pull from, HOST:PORT[/PATH].  [default: one is made]")  # fmt: skip
@click.option("--from", "python", metavar="IMAGE", default="python:3.13-slim", show_default=True,
              help="The image with Python that the base image is built on.")  # fmt: skip
@click.option("--context", metavar="NAME", default="aioparcs", show_default=True,
              help="The Docker context that is created here for the leader.")  # fmt: skip
@click.option("--plan", "only_plan", is_flag=True, help="Check the hosts, print the steps, and change nothing.")
def up(
    host: tuple[str, ...], inventory: Path | None, user: str | None, accept_new: bool, registry: str | None,
    python: str, context: str, only_plan: bool,
) -> None:  # fmt: skip
    """Make a Docker Swarm of each HOST, [USER@]NAME[:PORT], or of those in a file, and all that jobs need there.

    All hosts are checked first, at once. If something is in the way, nothing is changed. Docker is installed where it
    is missing. The first host becomes the manager; of five hosts or more, the first three do. What is done already is
    left as it is, so the same command goes on after a failure, or adds hosts.
    """
    need_asyncssh()
    from aioparcs.modules.images import registry_address
    from aioparcs.provision.plans.plan import Wishes
    from aioparcs.swarm.engine.placement import network_name

    with reported():
        hosts = _named(host, inventory, user)
        given = registry_address(registry) if registry else ""
        wishes = Wishes(network_name(), given, python, context, _addresses(hosts))
    sys.exit(run_command(_up(hosts, wishes, accept_new=accept_new, only_plan=only_plan)))


def _named(words: tuple[str, ...], inventory: Path | None, user: str | None) -> list[Host]:
    """Return the hosts that the command line names, or a file."""
    from aioparcs.provision.inventory import read_inventory
    from aioparcs.provision.plans.hosts import parse_host

    if bool(words) == bool(inventory):
        raise click.UsageError("name the hosts either in the command line or in a file: --inventory FILE")
    return read_inventory(inventory, user) if inventory else [parse_host(text, user) for text in dict.fromkeys(words)]


def _addresses(hosts: list[Host]) -> dict[str, str]:
    return {host.name: host.address for host in hosts if host.address}


async def _up(hosts: list[Host], wishes: Wishes, *, accept_new: bool, only_plan: bool) -> int:
    prepared = await _make(hosts, wishes, accept_new=accept_new, only_plan=only_plan)
    if prepared is None or only_plan:
        return int(prepared is None)
    url = prepared.survey.remotes[prepared.plan.managers[0]].url
    failed = await _examine(url, prepared.registry)
    click.echo(f"export DOCKER_CONTEXT={wishes.context} PARCS_REGISTRY={prepared.registry}")
    return int(failed)


async def _make(hosts: list[Host], wishes: Wishes, *, accept_new: bool, only_plan: bool) -> Prepared | None:
    """Print or carry out the plan for hosts; return None if that is impossible."""
    from aioparcs.provision.up import prepare

    with status("looking at the hosts" if only_plan else "making the cluster"):
        async with prepare(hosts, wishes, _print_accepted if accept_new else None) as prepared:
            _print_facts(prepared)
            print_problems(prepared.plan.problems)
            if prepared.plan.fatal or (not only_plan and not await _carry_out(prepared)):
                return None
    if not prepared.plan.steps:
        click.echo("nothing to do: the cluster is as it should be")
    elif only_plan:
        for step in prepared.plan.steps:
            print_line("plan", f"{step.host}: {step}")
    return prepared


@click.command(short_help="Add hosts to a cluster.", epilog=_ADD_EXAMPLES + EXIT_CODES)
@click.argument("host", nargs=-1)
@inventory_option("A file in TOML that names the hosts; those of the cluster keep user and port unless it has others.")
@click.option("--user", metavar="U",
              help="Who logs in, root or one who may use sudo without a password.  [default: as ssh does]")  # fmt: skip
@accept_new_option
@click.option("--plan", "only_plan", is_flag=True, help="Check the hosts, print the steps, and change nothing.")
def add(host: tuple[str, ...], inventory: Path | None, user: str | None, accept_new: bool, only_plan: bool) -> None:
    """Add each HOST, [USER@]NAME[:PORT], or those in a file, to the cluster that `aioparcs cluster up` has made.

    The cluster's own hosts are looked at, too: each must reach the others. From the fifth host on there are three
    managers.
    """
    need_asyncssh()
    with reported():
        fresh = _named(host, inventory, user)
    sys.exit(run_command(_add(fresh, accept_new=accept_new, only_plan=only_plan)))


async def _add(fresh: list[Host], *, accept_new: bool, only_plan: bool) -> int:
    from aioparcs.provision.cluster import read_cluster
    from aioparcs.provision.plans.hosts import add_hosts
    from aioparcs.provision.plans.plan import Wishes
    from aioparcs.swarm.engine.placement import network_name

    cluster = await read_cluster()
    hosts = [node.host for node in cluster.nodes if node.host and node.state == "ready"]
    if not hosts:
        raise click.ClickException(
            f"{cluster.leader}: aioparcs cluster up did not make this Swarm; use docker swarm join"
        )
    hosts = add_hosts(hosts, fresh)
    wishes = Wishes(network_name(), addresses=_addresses(hosts), only_hosts=True)
    return int(await _make(hosts, wishes, accept_new=accept_new, only_plan=only_plan) is None)


async def _examine(url: str, registry: str) -> bool:
    """Print the checks of `doctor`, and return whether one has failed that jobs on the cluster need."""
    from aioparcs.cli.doctor import print_check
    from aioparcs.engine.checks import CheckState
    from aioparcs.swarm.doctor.checks import examine

    os.environ |= {"LEADER_URL": url, "PARCS_REGISTRY": registry}
    failed = False
    async for check in examine():
        if check.name == _RUNNER and check.state == CheckState.FAILED:  # jobs run on the cluster all the same
            check = check._replace(state=CheckState.WARNING)
        failed |= check.state == CheckState.FAILED
        print_check(check)
    return failed


async def _carry_out(prepared: Prepared) -> bool:
    """Carry the plan out, and return whether all of it is done."""
    from aioparcs.provision.execute import Executor

    executor = Executor(prepared.survey.remotes, lambda step: print_line("done", f"{step.host}: {step}"))
    return not print_failures(await executor.carry_out(prepared.plan.stages))


def _print_accepted(name: str, fingerprint: str) -> None:
    print_line("done", f"{name}: accept its host key, {fingerprint}, and record it in known_hosts")


def _print_facts(prepared: Prepared) -> None:
    for host in prepared.survey.facts:
        docker = f"Docker {host.docker.version}" if host.docker else "no Docker that runs"
        swarm = ", in a Swarm" if host.in_swarm else ""
        print_line("ok", f"{host.name}: {host.system}, {host.free / 1e9:.0f} GB free, {docker}{swarm}")
