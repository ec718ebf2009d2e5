"""The submitter's end of a transfer: files are sent before the runner starts, and fetched when it has ended."""

from __future__ import annotations

import asyncio
import concurrent.futures
import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import aiohttp
import click

from aioparcs.cli.transfer.progress import counted, show_progress
from aioparcs.cli.transfer.runner import describe
from aioparcs.errors import ClusterError, SettingError
from aioparcs.files.listing import SENT, WRITTEN, FileRecord, find_files, read_listing
from aioparcs.files.names import FileNames
from aioparcs.files.receiving import ReceivedFiles
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
        self._files = await JobFiles.create(self._swarm, self._job, image)
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
            missing = await self._fetch(self._files)
        except (OSError, ClusterError) as error:
            reason = describe(error) if isinstance(error, OSError) else str(error)
            click.echo(f"error: --fetch: {reason}; {await self._keep(self._files)}", err=True)
            return code or 1
        for name in missing:
            click.echo(f"error: --fetch {name}: the runner has not written it", err=True)
        return code or min(len(missing), 1)

    def way_to_files(self) -> str:
        """Return how to get files that are on the cluster, "" if there are none to get."""
        if self._files is None or not self._names.fetch:
            return ""
        place = f"{self._files.holder}:{self._files.volume.folder}"
        copies = "; ".join(f"docker cp {place}/{name} {name}" for name in self._names.fetch)
        return f"its files are on the leader's node: {copies}"

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

    async def _fetch(self, files: JobFiles) -> list[str]:
        """Fetch what there is of the outputs; return the names of those that are missing."""
        with ReceivedFiles(self._folder) as received:
            listing = await self._listing(files)
            total = None if listing is None else sum(record.size for record in listing.values())
            with show_progress("fetching", total, shown=self._shown) as update:
                missing = [name for name in self._names.fetch if not await _receive(files, name, received, update)]
            if listing is not None:
                received.check(listing)
            await asyncio.to_thread(received.publish)
        done = counted(len(received.files), received.size)
        if listing is None:
            click.echo(
                f"runner: it ended without listing its files; fetched what is there, unchecked: {done}", err=True
            )
        elif received.files:
            self._note(f"fetched {done}")
        if received.left_out:
            self._note(f"left out, neither files nor links inside what is fetched: {', '.join(received.left_out)}")
        return missing

    async def _listing(self, files: JobFiles) -> dict[str, FileRecord] | None:
        """Return the runner's listing of its outputs; None if it was killed before it made one."""
        with ReceivedFiles(self._folder) as received:
            if not await _receive(files, WRITTEN, received, lambda done: None):
                return None
            return read_listing(received.content(WRITTEN))

    async def _keep(self, files: JobFiles) -> str:
        """Keep the files on the cluster; return how to get and remove them."""
        self.has_kept = True
        try:
            await files.keep()
        except ClusterError:
            return f"{self.way_to_files()}, before the next command removes them"
        return f"{self.way_to_files()}; aioparcs rm {self._job} removes them"


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


async def _receive(files: JobFiles, name: str, received: ReceivedFiles, update: Callable[[int], None]) -> bool:
    """Receive one file or folder; return False if it is not there."""
    async with files.read(name) as content:
        if content is None:
            return False
        stream = _BlockingStream(content, lambda: update(received.size))
        work = asyncio.ensure_future(asyncio.to_thread(received.extract, name, stream))
        try:
            await asyncio.shield(work)
        except asyncio.CancelledError:
            stream.cancel()
            await asyncio.wait([work])
            work.exception()  # it was stopped
            raise
    return True


class _BlockingStream(io.RawIOBase):
    """The content of a response, to be read by a thread."""

    def __init__(self, content: aiohttp.StreamReader, on_read: Callable[[], None]) -> None:
        super().__init__()
        self._content = content
        self._on_read = on_read
        self._loop = asyncio.get_running_loop()
        self._reading: asyncio.Task[bytes] | None = None
        self._cancelled = False

    def read(self, size: int = -1, /) -> bytes:
        self._on_read()
        try:
            return asyncio.run_coroutine_threadsafe(self._read(size), self._loop).result()
        except concurrent.futures.CancelledError:
            raise OSError("stopped") from None

    def cancel(self) -> None:
        """End the read that is under way, and all later ones."""
        self._cancelled = True
        if self._reading:
            self._reading.cancel()

    async def _read(self, size: int) -> bytes:
        if self._cancelled:
            raise OSError("stopped")
        self._reading = asyncio.current_task()
        try:
            return await self._content.read(size)
        finally:
            self._reading = None
