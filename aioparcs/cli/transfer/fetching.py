"""The way back of a runner's outputs: checked against its own listing, then moved to their places at once."""

from __future__ import annotations

import asyncio
import concurrent.futures
import io
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath

import aiohttp
import click

from aioparcs.cli.transfer.progress import counted, show_progress
from aioparcs.files.listing import WRITTEN, FileRecord, read_listing
from aioparcs.files.receiving import ReceivedFiles
from aioparcs.swarm.jobs.files import JobFiles

__all__ = ["fetch_files"]


async def fetch_files(files: JobFiles, names: Iterable[str], note: Callable[[str], None] | None) -> list[str]:
    """
    Fetch what there is of a runner's files into the current folder; return the names of those that are missing.

    Args:
        files: the files; their runner has ended.
        names: the names of files and folders.
        note: prints a line on what was done; None for silence, and no progress either.

    Raises:
        OSError: they arrive damaged, or can't be written; nothing has appeared in the folder.
        ClusterError: the leader can't be reached.
    """
    names = tuple(names)
    with ReceivedFiles(Path.cwd()) as received:
        listing = await _listing(files, names)
        total = None if listing is None else sum(record.size for record in listing.values())
        with show_progress("fetching", total, shown=note is not None) as update:
            missing = [name for name in names if not await _receive(files, name, received, update)]
        if listing is not None:
            received.check(listing)
        await asyncio.to_thread(received.publish)
    _report(received, listing, note or (lambda text: None))
    return missing


def _report(received: ReceivedFiles, listing: dict[str, FileRecord] | None, note: Callable[[str], None]) -> None:
    done = counted(len(received.files), received.size)
    if listing is None:
        click.echo(f"runner: it ended without listing its files; fetched what is there, unchecked: {done}", err=True)
    elif received.files:
        note(f"fetched {done}")
        if unlisted := received.files.keys() - listing.keys():
            example = f", such as {sorted(unlisted)[0]}" if len(unlisted) > 1 else f": {min(unlisted)}"
            note(f"{len(unlisted)} of them unchecked, which the runner's listing does not have{example}")
    if received.left_out:
        note(f"left out, neither files nor links inside what is fetched: {', '.join(received.left_out)}")


async def _listing(files: JobFiles, names: Iterable[str]) -> dict[str, FileRecord] | None:
    """Return the runner's listing of its outputs among some names; None if it was killed before it made one."""
    with ReceivedFiles(Path.cwd()) as received:
        if not await _receive(files, WRITTEN, received, lambda done: None):
            return None
        listing = read_listing(received.content(WRITTEN))
    wanted = set(names)
    return {name: record for name, record in listing.items() if wanted & {name, *map(str, PurePosixPath(name).parents)}}


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
