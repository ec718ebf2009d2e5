"""The command about the files of a job on the cluster: ``aioparcs fetch``."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING

import click

from aioparcs.cli.command import EXIT_CODES, run_command
from aioparcs.cli.jobs import named_jobs, open_leader
from aioparcs.cli.modules import Usage
from aioparcs.errors import ClusterError
from aioparcs.files.names import names_in_folder
from aioparcs.files.reasons import describe

if TYPE_CHECKING:  # Docker's libraries take longer to load than the rest together
    from aioparcs.swarm.docker.client import SwarmClient
    from aioparcs.swarm.jobs.view import SwarmJob

__all__ = ["fetch"]

_EXAMPLES = """
\b
Examples:
  aioparcs run hello --on swarm --fetch out --detach
  aioparcs fetch 3f2a91c7              what --fetch has named
  aioparcs fetch 3f2a91c7 out/log.txt  this file alone
  aioparcs fetch --wait 3f2a91c7       ... when the runner has ended
"""
_PAUSE = 1.0  # seconds between two questions whether a runner has ended
_LEADER_TIMEOUT = 60.0  # seconds without an answer of the leader after which a job is no longer waited for


@click.command(short_help="Fetch the files that a job's runner has written.", epilog=_EXAMPLES + EXIT_CODES)
@click.argument("name", metavar="JOB")
@click.argument("paths", metavar="[PATH]...", nargs=-1, type=click.Path())
@click.option("-w", "--wait", is_flag=True, help="Wait until the runner has ended.")
def fetch(name: str, paths: tuple[str, ...], wait: bool) -> None:
    """Fetch the files that JOB's runner has written into the current folder.

    These are what --fetch of `aioparcs run` has named, or the files and folders that PATH names. They are compared with
    what the runner had when it ended, replace files of the same names here, and stay on the cluster until
    `aioparcs rm JOB`.
    """
    run_command(_fetch(name, paths, wait))


async def _fetch(name: str, paths: tuple[str, ...], wait: bool) -> None:
    wanted = names_in_folder(paths)
    async with open_leader() as swarm:
        (job,) = await named_jobs(swarm, [name])
        names = _names(job, wanted)
        if not _has_ended(job):
            if not wait:
                raise click.ClickException(
                    f"the runner of job {name} has not ended; fetch its files then: aioparcs fetch --wait {name}"
                )
            click.echo(f"waiting for the end of job {name}", err=True)
            job = await _wait_ended(swarm, name)
        if job.runner and job.runner.error:
            click.echo(f"runner: {job.runner.error}", err=True)
        await _fetch_names(swarm, job, names)


def _names(job: SwarmJob, wanted: tuple[str, ...]) -> tuple[str, ...]:
    """Return what is fetched; raise an error if there is nothing of it on the leader's node."""
    if job.has_files_elsewhere:
        node = job.runner.node if job.runner else ""
        where = node or "the node of the manager through which it was submitted"
        raise click.ClickException(f"the files of job {job.name} are on {where}; name its Docker API in LEADER_URL")
    if not job.files:
        raise Usage(f"job {job.name} has no files to fetch: its run had neither --fetch nor --send")
    if not wanted and not job.fetch:
        raise Usage(f"job {job.name} was started without --fetch; name what to fetch: aioparcs fetch {job.name} PATH")
    return wanted or job.fetch


def _has_ended(job: SwarmJob) -> bool:
    """Return whether a job's runner has ended, and not one is still to begin."""
    from aioparcs.swarm.jobs.orphans import is_alive

    if job.runner_service:
        return job.runner_is_over
    return job.has_kept_files or is_alive(job.identity) is False


async def _wait_ended(swarm: SwarmClient, name: str) -> SwarmJob:
    answered = monotonic()
    while True:
        try:
            (job,) = await named_jobs(swarm, [name])
            answered = monotonic()
            if _has_ended(job):
                return job
        except ClusterError:
            if monotonic() - answered > _LEADER_TIMEOUT:
                raise
        await asyncio.sleep(_PAUSE)


async def _fetch_names(swarm: SwarmClient, job: SwarmJob, names: tuple[str, ...]) -> None:
    from aioparcs.cli.transfer.fetching import fetch_files
    from aioparcs.swarm.jobs.files import JobFiles

    try:
        missing = await fetch_files(JobFiles.of_holder(swarm, job.files[0]), names, click.echo)
    except OSError as error:
        raise click.ClickException(f"{describe(error)}; the files of job {job.name} stay on the cluster") from None
    for name in missing:
        click.echo(f"error: {name}: the runner has not written it", err=True)
    if len(missing) < len(names):
        click.echo(f"aioparcs rm {job.name} removes them from the cluster")
    if missing:
        raise SystemExit(1)
