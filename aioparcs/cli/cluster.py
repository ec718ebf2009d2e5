"""The commands that make a cluster: ``aioparcs cluster init``, ``aioparcs cluster up``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

import click
from rich.console import Console

from aioparcs.cli.command import EXIT_CODES, run_command

if TYPE_CHECKING:
    from aioparcs.provision.checks import Problem
    from aioparcs.provision.up import Prepared
    from aioparcs.swarm.engine.overlay import Overlay

__all__ = ["cluster"]

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
  aioparcs cluster up 203.0.113.11 203.0.113.12 ada@203.0.113.13:2222
\b
Exit codes:
    0  the cluster is up, or with --plan: nothing is in the way
    1  something is in the way, or a step has failed
    2  the command line or a setting is wrong
  130  ended by Ctrl-C
  143  ended by SIGTERM
"""
_COLORS = {"ok": "green", "done": "green", "plan": "cyan", "warning": "yellow", "failed": "red"}


@click.group()
def cluster() -> None:
    """Make a cluster, or prepare one for jobs."""


@cluster.command(short_help="Create the network of the jobs.", epilog=_INIT_EXAMPLES + EXIT_CODES)
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


@cluster.command(short_help="Make a cluster of machines that ssh reaches.", epilog=_UP_EXAMPLES)
@click.argument("host", nargs=-1, required=True)
@click.option("--user", metavar="U",
              help="Who logs in, root or one who may use sudo without a password.  [default: as ssh does]")  # fmt: skip
@click.option("--plan", "only_plan", is_flag=True, help="Check the hosts, print the steps, and change nothing.")
def up(host: tuple[str, ...], user: str | None, only_plan: bool) -> None:
    """Make a Docker Swarm of each HOST, [USER@]NAME[:PORT], with the network of the jobs.

    All hosts are checked first, at once. If something is in the way, nothing is changed. Docker is installed where it
    is missing. The first host becomes the manager; of five hosts or more, the first three do. What is done already is
    left as it is, so the same command goes on after a failure, or adds hosts.
    """
    sys.exit(run_command(_up(host, user, only_plan=only_plan)))


async def _up(words: tuple[str, ...], user: str | None, *, only_plan: bool) -> int:
    _need_asyncssh()
    from aioparcs.provision.hosts import parse_host
    from aioparcs.provision.up import prepare

    hosts = [parse_host(text, user) for text in dict.fromkeys(words)]
    with _status("looking at the hosts" if only_plan else "making the cluster"):
        async with prepare(hosts, {}) as prepared:
            _print_facts(prepared)
            _print_problems(prepared.plan.problems)
            if prepared.plan.fatal or (not only_plan and not await _carry_out(prepared)):
                return 1
    if only_plan:
        for step in prepared.plan.steps:
            _line("plan", f"{step.host}: {step}")
    if not prepared.plan.steps:
        click.echo("nothing to do: the cluster is as it should be")
    if not only_plan:
        url = prepared.survey.remotes[prepared.plan.managers[0]].url
        click.echo(f"export LEADER_URL={url}")
    return 0


async def _carry_out(prepared: Prepared) -> bool:
    """Carry the plan out, and return whether all of it is done."""
    from aioparcs.provision.checks import Problem
    from aioparcs.provision.execute import Executor

    executor = Executor(prepared.survey.remotes, lambda step: _line("done", f"{step.host}: {step}"))
    failed = await executor.carry_out(prepared.plan)
    advice = "then run this again: it goes on from there"
    _print_problems([Problem(error.url, error.reason, f"{error.advice or 'mend it'}; {advice}") for error in failed])
    return not failed


def _print_facts(prepared: Prepared) -> None:
    for host in prepared.survey.facts:
        docker = f"Docker {host.docker.version}" if host.docker else "no Docker that runs"
        swarm = ", in a Swarm" if host.in_swarm else ""
        _line("ok", f"{host.name}: {host.system}, {host.free / 1e9:.0f} GB free, {docker}{swarm}")


def _print_problems(problems: Sequence[Problem]) -> None:
    """Print each problem, and what to do about it; one that several hosts have, once."""
    hosts: dict[tuple[str, str, bool], list[str]] = {}
    for problem in problems:
        hosts.setdefault((problem.text, problem.advice, problem.fatal), []).append(problem.host)
    for (text, advice, fatal), names in hosts.items():
        _line("failed" if fatal else "warning", f"{', '.join(names)}: {text}")
        click.echo(f"{'':8}  {advice}")


def _line(state: str, text: str) -> None:
    click.echo(f"{click.style(f'{state:8}', _COLORS[state])}{text}")


def _status(text: str) -> AbstractContextManager[object]:
    """Return what shows that the command is at work, on a terminal that has both streams: it takes both over."""
    console = Console(stderr=True, highlight=False)
    is_terminal = console.is_terminal and not console.is_dumb_terminal and sys.stdout.isatty()
    return console.status(text) if is_terminal else nullcontext()


def _need_asyncssh() -> None:
    import importlib.util

    if not importlib.util.find_spec("asyncssh"):
        raise click.ClickException("aioparcs cluster up needs asyncssh: pip install 'aioparcs[ssh]'")
