"""The submitter's end of a transfer: files are sent before the runner starts, and fetched when it has ended."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import click

from aioparcs.cli.transfer.fetching import fetch_files
from aioparcs.cli.transfer.progress import counted, show_progress
from aioparcs.errors import ClusterError, SettingError
from aioparcs.files.listing import SENT, find_files
from aioparcs.files.names import FileNames
from aioparcs.files.reasons import describe
from aioparcs.files.sending import OutgoingFiles
from aioparcs.swarm import SwarmClient
from aioparcs.swarm.engine.source import module_files
from aioparcs.swarm.jobs.files import FileVolume, JobFiles

__all__ = ["Transfer", "check_names"]


class Transfer:
    """
    The transfer of one job's files.

    Args:
        swarm: the leader.
        job: the job's name.
        names: the names of the files.
        note: prints a line on what was done; None for silence, and no progress either.

    Attributes:
        has_kept: whether the files stay on the cluster, since they could not be fetched.
    """

    def __init__(self, swarm: SwarmClient, job: str, names: FileNames, note: Callable[[str], None] | None) -> None:
        self._swarm = swarm
        self._job = job
        self._names = names
        self._note = note or (lambda text: None)
        self._shown = note is not None
        self._folder = Path.cwd()
        self._files: JobFiles | None = None
        self.has_kept = False

    async def send(self, image: str) -> FileVolume | None:
        """
        Send the inputs to where the runner will be; return the volume for its service, None if it needs none.

        Raises:
            ClusterError: the leader can't be reached, has no room, or takes no containers.
            ClickException: a file can't be read, or changes while it is read.
        """
        if not any(self._names):
            return None
        self._files = await JobFiles.create(self._swarm, self._job, image, self._names.fetch)
        try:
            await self._send(self._files)
        except OSError as error:
            raise click.ClickException(f"--send: {describe(error)}") from None
        return self._files.volume

    async def fetch(self, code: int) -> int:
        """
        Fetch the outputs of a runner that has ended, and return the exit code of the run.

        If that fails, they stay on the cluster, and a line says how to get them.

        Args:
            code: the runner's own.
        """
        if self._files is None or not self._names.fetch:
            return code
        try:
            missing = await fetch_files(self._files, self._names.fetch, self._note if self._shown else None)
        except (OSError, ClusterError) as error:
            reason = describe(error) if isinstance(error, OSError) else str(error)
            click.echo(f"error: --fetch: {reason}; {await self._keep(self._files)}", err=True)
            return code or 1
        for name in missing:
            click.echo(f"error: --fetch {name}: the runner has not written it", err=True)
        return code or min(len(missing), 1)

    async def _send(self, files: JobFiles) -> None:
        found = await asyncio.to_thread(find_files, self._folder, self._names.send)
        outgoing = OutgoingFiles(found, self._folders_to_write(), SENT)

        def tar(update: Callable[[int], None]) -> Iterator[bytes]:
            for chunk in outgoing.chunks():
                update(outgoing.sent)
                yield chunk

        with show_progress("sending", outgoing.size, shown=self._shown) as update:
            try:
                await files.write(tar(update))
            except ClusterError as error:
                how_far = f"sending stopped after {counted(outgoing.count, outgoing.sent)}"
                advice = error.advice or "see whether that node's disk is full"
                raise ClusterError(error.url, f"{how_far}: {error.reason}", advice) from error
        if self._names.send:
            self._note(f"sent {counted(outgoing.count, outgoing.size)}")

    def _folders_to_write(self) -> set[str]:
        """Return the folders for outputs that are here: the runner finds them there too, empty."""
        places = {place for name in self._names.fetch for place in (Path(name), *Path(name).parents)}
        return {str(place) for place in places - {Path()} if (self._folder / place).is_dir()}

    async def _keep(self, files: JobFiles) -> str:
        """Keep the files on the cluster; return how to get and remove them."""
        self.has_kept = True
        try:
            await files.keep()
        except ClusterError:
            return f"aioparcs fetch {self._job} fetches them, until another command removes them"
        return (
            f"they stay on the cluster: aioparcs fetch {self._job} fetches them, aioparcs rm {self._job} removes them"
        )


def check_names(runner: Path, names: FileNames) -> None:
    """
    Check that what is sent does not take the place of the runner's own files.

    Raises:
        SettingError: it would.
        OSError: the runner's folder can't be read.
        StartError: a package that it shares can't go along.
    """
    own = module_files(runner) if names.send else {}
    for name in names.send:
        if name in own and not os.path.samefile(own[name], name):
            raise SettingError(f"--send {name}: the runner has another {name} in its own folder; rename one")
