"""The files of workers on their way to launchers: from the runner's folder, piece by piece, to a few at once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from aioparcs.engine import WorkerSpec
from aioparcs.errors import StartError
from aioparcs.files.reasons import describe
from aioparcs.messages.launcher import LONGEST_PIECE
from aioparcs.runner.launchers.client import LauncherClient

if TYPE_CHECKING:
    from aioparcs.files.sending import OutgoingFiles

__all__ = ["FileSender"]

# Launchers that are sent files at once: more would not be faster, and each takes some mebibytes.
_AT_ONCE = 4
_REBUILD = "build its image again: aioparcs image build, then aioparcs build --push"


class FileSender:
    """
    What sends files.

    Args:
        folder: the folder that their names start from.
        patience: seconds after which a launcher that takes nothing is given up.
    """

    def __init__(self, folder: Path, patience: float) -> None:
        self._folder = folder
        self._patience = patience
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def check(self, spec: WorkerSpec) -> str:
        """
        Check that there are the files which workers shall have; return how many and how large they are, as text.

        Raises:
            StartError: one is missing, or is neither a file nor a folder.
        """
        if not spec.files:
            return ""
        try:
            return await asyncio.to_thread(self._measure, spec.files)
        except OSError as error:
            raise StartError(spec.module, f"files=: {describe(error)}") from error

    async def send(self, client: LauncherClient, spec: WorkerSpec) -> str:
        """
        Send a launcher its files; return why it can't have them, "" once it has.

        Raises:
            ParcsError: its connection has ended.
        """
        if not client.takes_files:
            return f"its launcher is of an earlier aioparcs, which takes no files; {_REBUILD}"
        async with self._turns:
            try:
                outgoing = await asyncio.to_thread(self._open, spec.files)
                await client.send_files(_pieces(outgoing), self._patience)
            except OSError as error:
                return describe(error)
        return ""

    def _measure(self, names: tuple[str, ...]) -> str:
        from aioparcs.files.listing import find_files  # few workers have files

        sizes = [path.stat().st_size for path in find_files(self._folder, names).values() if not path.is_dir()]
        return f"{len(sizes):,} file{'s' * (len(sizes) != 1)}, {sum(sizes) / 1e6:,.1f} MB"

    def _open(self, names: tuple[str, ...]) -> OutgoingFiles:
        from aioparcs.files.listing import SENT, find_files  # these load tarfile, which few programs need
        from aioparcs.files.sending import OutgoingFiles

        return OutgoingFiles(find_files(self._folder, names), (), SENT)


def _pieces(outgoing: OutgoingFiles) -> Iterator[bytes]:
    for chunk in outgoing.chunks():
        for begin in range(0, len(chunk), LONGEST_PIECE):
            yield chunk[begin : begin + LONGEST_PIECE]
