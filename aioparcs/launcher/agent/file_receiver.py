"""The files that a launcher is sent before it starts workers: written by a thread, while the agent answers."""

from __future__ import annotations

import asyncio
import io
import os
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue

from aioparcs.errors import ProtocolError
from aioparcs.messages.launcher import FILES_WINDOW, FilesTaken

__all__ = ["FileReceiver"]


class FileReceiver:
    """
    What writes files into the current folder.

    Args:
        report: sends the runner a report; called in the event loop.
    """

    def __init__(self, report: Callable[[FilesTaken], None]) -> None:
        self._report = report
        self._loop = asyncio.get_running_loop()
        self._stream = _PieceStream(self._on_read)
        self._received = self._taken = 0
        self._problem: str | None = None
        self._writing: asyncio.Task[None] | None = None

    def add(self, piece: bytes) -> None:
        """
        Add the next piece of a tar, none at its end.

        Raises:
            ProtocolError: too many are waiting.
        """
        if self._received - self._taken >= FILES_WINDOW:
            raise ProtocolError(f"a runner sends at most {FILES_WINDOW} pieces of files ahead")
        if self._writing is None:
            self._writing = self._loop.create_task(self._write())
        self._received += 1
        self._stream.pieces.put(piece)

    async def aclose(self) -> None:
        """Stop writing; remove what is not in its place yet."""
        self._stream.pieces.put(None)
        if self._writing:
            await asyncio.wait([self._writing])

    async def _write(self) -> None:
        problem = await asyncio.to_thread(_place, self._stream)
        if self._stream.is_over and problem is None:
            self._take()
        elif problem is not None:
            self._problem = problem
            self._report(FilesTaken(self._taken, problem))

    def _on_read(self) -> None:
        """Report that a piece was taken; called by the thread."""
        self._loop.call_soon_threadsafe(self._take)

    def _take(self) -> None:
        self._taken += 1
        if self._problem is None:
            self._report(FilesTaken(self._taken))


class _PieceStream(io.RawIOBase):
    """The pieces as one stream, to be read by a thread."""

    def __init__(self, on_read: Callable[[], None]) -> None:
        super().__init__()
        self.pieces: SimpleQueue[bytes | None] = SimpleQueue()
        self.is_over = False
        self._on_read = on_read
        self._left = memoryview(b"")

    def read(self, size: int = -1, /) -> bytes:
        if not self._left and not self.is_over:
            piece = self.pieces.get()
            if piece is None:
                raise OSError("stopped")
            self._left, self.is_over = memoryview(piece), not piece
            if piece:  # the end is reported when all is in its place
                self._on_read()
        part, self._left = self._left[:size], self._left[size:]
        return bytes(part)


def _place(stream: io.RawIOBase) -> str | None:
    """Put the files of a tar into their places; return why that can't be, None if it is done."""
    from aioparcs.files.placing import place_files  # most launchers are sent none
    from aioparcs.files.reasons import describe_writing

    folder = os.path.curdir
    try:
        folder = os.getcwd()
        place_files(Path(folder), stream)
    except OSError as error:
        return describe_writing(error, folder)
    except Exception as error:  # whatever came: the runner is told
        return f"{type(error).__name__}: {error}"
    return None
