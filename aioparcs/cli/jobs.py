"""The commands about jobs on the cluster: ``aioparcs ps``, ``aioparcs logs``, ``aioparcs rm``; and finding jobs."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from aioparcs.cli.command import EXIT_CODES, run_command
from aioparcs.cli.job_log import print_log, read_progress
from aioparcs.cli.modules import Usage
from aioparcs.display import Detail, sanitize
from aioparcs.errors import ClusterError

# Docker's libraries take longer to load than the rest together; help, completion and local runs do without. So this
# file names them for types only, and each command imports what it uses.
if TYPE_CHECKING:
    from aioparcs.swarm.docker.client import SwarmClient
    from aioparcs.swarm.jobs.view import Container, SwarmJob

__all__ = ["logs", "named_jobs", "open_leader", "ps", "rm"]

_PS_EXAMPLES = """
\b
Examples:
  aioparcs ps
  aioparcs ps 3f2a91c7                 its workers, as a tree
  aioparcs ps --json | jq '.[].workers[] | select(.state == "failed")'
"""
_LOGS_EXAMPLES = """
\b
Examples:
  aioparcs logs 3f2a91c7               what the runner has printed so far
  aioparcs logs -f 3f2a91c7            ... and will print
  aioparcs logs 3f2a91c7 --worker 4    what the job's container 4 has printed itself
"""
_RM_EXAMPLES = """
\b
Examples:
  aioparcs rm 3f2a91c7
  aioparcs rm --orphans
"""
_WIDE = 1000  # columns where there is no terminal: a table in a file or a pipe is not folded
_TAIL = "500"  # lines of a log; there is a snapshot among the last few, unless the runner prints a lot
_UNITS = (("d", 86400), ("h", 3600), ("m", 60))


@click.command(short_help="Show the jobs on the cluster, or the workers of one.", epilog=_PS_EXAMPLES + EXIT_CODES)
@click.argument("job", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list of the jobs, with each of their workers.")
def ps(job: str | None, as_json: bool) -> None:
    """Show the jobs on the cluster; or the workers of JOB, below the runner or the service that started them.

    First the command removes what is left of jobs whose runner is gone, as `aioparcs rm --orphans` does.
    """
    run_command(_ps(job, as_json))


@click.command(epilog=_LOGS_EXAMPLES + EXIT_CODES)
@click.argument("job")
@click.option("-f", "--follow", is_flag=True, help="Follow the output until the program ends.")
@click.option("--worker", "number", metavar="K", type=click.IntRange(min=0),
              help="Show what one of the job's containers has printed by itself: the number that "
                   "`aioparcs ps --json` shows as container, from 0.")  # fmt: skip
def logs(job: str, follow: bool, number: int | None) -> None:
    """Show what JOB has printed.

    The output of workers goes to the runner, whose log has it, each line with its worker's name. A container's own
    log, with --worker, has the output before its connection to the runner and after it. A runner outside the cluster
    prints on its own machine: then there are only the containers' logs. Standard output and standard error stay apart.
    """
    run_command(_logs(job, follow, number))


@click.command(short_help="Remove jobs, or what is left of them.", epilog=_RM_EXAMPLES + EXIT_CODES)
@click.argument("jobs", metavar="[JOB]...", nargs=-1)
@click.option("--orphans", is_flag=True, help="Remove what is left of jobs whose runner is gone.")
def rm(jobs: tuple[str, ...], orphans: bool) -> None:
    """Remove each JOB, running or not, from the cluster: services, containers, secrets.

    A runner on the cluster is stopped first. Only services, containers and secrets with the labels of aioparcs are
    touched.
    """
    if bool(jobs) == orphans:
        raise Usage("name the jobs to remove, or use --orphans")
    run_command(_remove_orphans() if orphans else _rm(jobs))


# ps


async def _ps(name: str | None, as_json: bool) -> None:
    from aioparcs.swarm.jobs.jobs import find_jobs, sweep

    async with open_leader() as swarm:
        for line in (await sweep(swarm)).lines:
            click.echo(line, err=True)
        jobs = await find_jobs(swarm) if name is None else await named_jobs(swarm, [name])
        progress = await asyncio.gather(*(_progress(swarm, job) for job in jobs)) if as_json else []
    console = Console(highlight=False, width=None if sys.stdout.isatty() else _WIDE)
    if as_json:
        described = [_described(job) | {"progress": known} for job, known in zip(jobs, progress, strict=True)]
        click.echo(json.dumps(described, indent=2))
    elif name is not None:
        console.print(_tree(jobs[0]))
    elif jobs:
        console.print(_table(jobs))
    else:
        click.echo(f"no jobs on {swarm.leader.shown}")


def _table(jobs: Iterable[SwarmJob]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("JOB", "MODULES", "WORKERS", "NODES", "STATE", "AGE", "RUNNER", "FILES"):
        table.add_column(title, overflow="fold", justify="right" if title in ("WORKERS", "AGE") else "left")
    for job in jobs:
        state, files = _state(job), Text(sanitize(", ".join(job.fetch), color=False))
        table.add_row(job.name, ", ".join(job.modules), f"{job.running}/{job.requested}", ", ".join(job.nodes), state,
                      _age(time.time() - job.since), _runner(job), files)  # fmt: skip
    return table


def _tree(job: SwarmJob) -> Tree:
    """Return the tree of containers by the worker that has started them, a line for each."""
    tree = Tree(Text(f"{job.name}  {_state(job)}, {_age(time.time() - job.since)}, {_runner(job)}"))
    _grow(tree, job, None)
    return tree


def _grow(tree: Tree, job: SwarmJob, above: Container | None) -> None:
    for one in job.children_of(above):
        workers = _span(one.workers)
        words = [f"{one.module}{workers and ':'}{workers}", one.node, one.state, one.error]
        if one.parent >= 0 and (above is None or len(above.workers) > 1):
            words.append(f"started by worker {one.parent}")
        _grow(tree.add(Text("  ".join(filter(None, words)))), job, one)


def _span(workers: range) -> str:
    """Return worker numbers as text: ``3``, or ``3-5``; "" if they are not known."""
    return f"{workers[0]}-{workers[-1]}" if len(workers) > 1 else "".join(map(str, workers))


def _described(job: SwarmJob) -> dict[str, Any]:
    workers = [
        {"container": one.number, "module": one.module, "slot": one.slot, "node": one.node, "state": one.state,
         "error": one.error, "workers": list(one.workers), "parent": one.parent if one.parent >= 0 else None}
        for one in job.containers
    ]  # fmt: skip
    return {
        "job": job.name,
        "state": _state(job),
        "modules": list(job.modules),
        "running": job.running,
        "asked": job.requested,
        "nodes": list(job.nodes),
        "age": round(max(0.0, time.time() - job.since), 1),
        "runner": _runner(job),
        "fetch": list(job.fetch),
        "workers": workers,
    }


async def _progress(swarm: SwarmClient, job: SwarmJob) -> dict[str, Any] | None:
    """Return the job's progress from the runner's log; None if the log has none, or can't be read."""
    from aioparcs.swarm.docker.task_state import has_container, newest

    service, word = job.runner_service, job.events_word
    task = newest([task for task in job.tasks if service and task["ServiceID"] == service["ID"]]).get(1)
    if not word or not task or not has_container(task):
        return None
    try:
        return read_progress(await swarm.container_lines(task["ID"], tail=_TAIL), word)
    except ClusterError:
        return None


def _state(job: SwarmJob) -> str:
    from aioparcs.swarm.jobs.orphans import is_alive

    return job.state(is_alive(job.identity))


def _runner(job: SwarmJob) -> str:
    """Return where the runner is, as text."""
    if job.runner_service:
        node = f" on {job.runner.node}" if job.runner and job.runner.node else ""
        error = f": {job.runner.error}" if job.runner and job.runner.error else ""
        return f"service{node}{error}"
    host, *_, pid, _started = job.identity.split("/") if job.identity.count("/") == 4 else ("", "", "")
    return f"process {pid} on {host}" if pid else "unknown"


def _age(seconds: float) -> str:
    for unit, length in _UNITS:
        if seconds >= 2 * length:
            return f"{seconds // length:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"


# logs


async def _logs(name: str, follow: bool, number: int | None) -> None:
    from aioparcs.swarm.jobs.follow import container_lines
    from aioparcs.swarm.jobs.jobs import find_jobs

    async with open_leader() as swarm:
        (job,) = await named_jobs(swarm, [name])
        service, slot = _printer(job, number)
        word = job.events_word if number is None else ""
        lines = container_lines(swarm, name, service, slot, follow=follow)
        await print_log(lines, word, Detail.NORMAL, live=follow)
        for job in await find_jobs(swarm):  # again: what had not begun then may have failed since
            for one in (*job.containers, *([job.runner] if job.runner else [])):
                if (one.service, one.slot, one.state) == (service, slot, "failed"):
                    raise click.ClickException(f"it never ran: {one.error}")


def _printer(job: SwarmJob, number: int | None) -> tuple[str, int]:
    """Return the Swarm service and the slot whose log is meant."""
    if number is None:
        if job.runner_service:
            return job.runner_service["ID"], 1
        raise Usage(
            f"the runner of job {job.name} is not on the cluster ({_runner(job)}) and prints where it runs; "
            f"a container's own log: aioparcs logs {job.name} --worker K"
        )
    for one in job.containers:
        if one.number == number:
            return one.service, one.slot
    there = ", ".join(str(one.number) for one in job.containers) or "none yet"
    raise Usage(f"job {job.name} has no container {number}; there are: {there}")


# rm


async def _rm(names: Iterable[str]) -> None:
    from aioparcs.swarm.jobs.jobs import remove_job
    from aioparcs.swarm.jobs.orphans import is_alive

    async with open_leader() as swarm:
        for job in await named_jobs(swarm, names):
            removed = await remove_job(swarm, job.name)
            click.echo(f"removed job {job.name}: {', '.join(removed) or 'its last containers'}")
            if not job.runner_service and is_alive(job.identity):
                click.echo(f"its runner, {_runner(job)}, goes on without workers; end it there", err=True)


async def _remove_orphans() -> None:
    from aioparcs.swarm.jobs.jobs import sweep, wait_idle

    async with open_leader() as swarm:
        swept = await sweep(swarm)
        for name in swept.jobs:
            try:
                await wait_idle(swarm, name)
            except ClusterError as error:
                swept.failures.append(str(error))
            else:
                click.echo(f"removed what was left of job {name}")
        if swept.failures:
            raise click.ClickException("; ".join(swept.failures))
        if not swept.jobs:
            click.echo(f"no orphans on {swarm.leader.shown}")


async def named_jobs(swarm: SwarmClient, names: Iterable[str]) -> list[SwarmJob]:
    """Return jobs by their names; raise a `Usage` if one is missing, before anything is done to another."""
    from aioparcs.swarm.jobs.jobs import find_jobs

    there = {job.name: job for job in await find_jobs(swarm)}
    for name in names:
        if name not in there:
            known = f"there are: {', '.join(there)}" if there else "there are no jobs"
            raise Usage(f"there is no job {name!r} on {swarm.leader.shown}; {known}")
    return [there[name] for name in dict.fromkeys(names)]


@asynccontextmanager
async def open_leader() -> AsyncIterator[SwarmClient]:
    """Open the Swarm's leader, as `open_swarm` does; Docker's libraries are loaded only now."""
    from aioparcs.swarm.docker.client import open_swarm

    async with open_swarm() as swarm:
        yield swarm
