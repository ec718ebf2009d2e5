"""What workers print, and how far they are, on its way to the runner."""

from __future__ import annotations

import asyncio
import os
import struct
from collections import deque
from contextlib import suppress

__all__ = ["PROGRESS", "Output"]

# One progress report on the pipe that all workers share: number, done, total. Small enough to be written atomically.
PROGRESS = struct.Struct("=qdd")
_CHUNK = 64 << 10
# Characters after which a line without an end is passed on all the same, and that one batch holds.
_LONGEST_LINE, _BATCH = 16 << 10, 64 << 10


class Output:
    """
    Reads the workers' output as fast as they write it, so that printing never slows them.

    Lines wait in a bounded queue; what finds no room is dropped and counted.

    Args:
        loop: the event loop.
        progress: the reading end of the pipe that progress comes through.
        queue: lines that may wait.
        keep: last lines that are remembered of each worker.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, progress: int, queue: int, keep: int) -> None:
        self._loop = loop
        self._progress_fd = progress
        self._queue = queue
        self._keep = keep
        self._lines: deque[tuple[int, str]] = deque()
        self._dropped = 0
        self._progress: dict[int, tuple[float, float]] = {}
        self._pipes: dict[int, _Pipe] = {}
        self._news = asyncio.Event()
        os.set_blocking(progress, False)
        loop.add_reader(progress, self._read_progress)

    def add(self, worker: int, descriptor: int) -> None:
        """Read a worker's output from now on."""
        os.set_blocking(descriptor, False)
        self._pipes[worker] = _Pipe(descriptor, self._keep)
        self._loop.add_reader(descriptor, self._read, worker)

    def finish(self, worker: int) -> list[str]:
        """Read what a worker that has ended left in its pipe; returns its last lines."""
        pipe = self._pipes.pop(worker, None)
        if pipe is None:
            return []
        while self._read_chunk(worker, pipe):
            pass
        self._add_lines(worker, pipe, pipe.rest())
        self._loop.remove_reader(pipe.descriptor)
        os.close(pipe.descriptor)
        return list(pipe.last)

    async def news(self) -> tuple[list[tuple[int, str]], int, dict[int, tuple[float, float]]]:
        """
        Wait for something to tell.

        Returns:
            Lines with their workers' numbers, the count of lines dropped before them, and progress by worker.
        """
        await self._news.wait()
        lines: list[tuple[int, str]] = []
        size = 0
        while self._lines and size < _BATCH:
            lines.append(self._lines.popleft())
            size += len(lines[-1][1])
        dropped, self._dropped = self._dropped, 0
        progress, self._progress = self._progress, {}
        if not self._lines:
            self._news.clear()
        return lines, dropped, progress

    def poke(self) -> None:
        """Have `news` return, with nothing if there is nothing."""
        self._news.set()

    @property
    def told(self) -> bool:
        """True when nothing waits to be told."""
        return not self._news.is_set()

    def close(self) -> None:
        """Read no more."""
        self._loop.remove_reader(self._progress_fd)
        for worker in list(self._pipes):
            self.finish(worker)

    def _read(self, worker: int) -> None:
        pipe = self._pipes[worker]
        if not self._read_chunk(worker, pipe) and pipe.ended:
            self._loop.remove_reader(pipe.descriptor)

    def _read_chunk(self, worker: int, pipe: _Pipe) -> bool:
        try:
            data = os.read(pipe.descriptor, _CHUNK)
        except BlockingIOError:
            return False
        pipe.ended = not data
        self._add_lines(worker, pipe, pipe.split(data))
        return bool(data)

    def _add_lines(self, worker: int, pipe: _Pipe, lines: list[str]) -> None:
        pipe.last.extend(lines)
        for line in lines:
            if len(self._lines) >= self._queue:
                self._dropped += 1
            else:
                self._lines.append((worker, line))
        if lines:
            self._news.set()

    def _read_progress(self) -> None:
        with suppress(BlockingIOError):
            data = os.read(self._progress_fd, 1000 * PROGRESS.size)
            for worker, done, total in PROGRESS.iter_unpack(data):
                self._progress[worker] = (done, total)
            self._news.set()


class _Pipe:
    """One worker's output: what came of the unfinished line, and the last finished ones."""

    def __init__(self, descriptor: int, keep: int) -> None:
        self.descriptor = descriptor
        self.last: deque[str] = deque(maxlen=keep)
        self.ended = False
        self._unfinished = b""

    def split(self, data: bytes) -> list[str]:
        """Add bytes; returns the lines that they finish."""
        *lines, self._unfinished = (self._unfinished + data).split(b"\n")
        if len(self._unfinished) > _LONGEST_LINE:
            lines.append(self._unfinished)
            self._unfinished = b""
        return [_text(line) for line in lines]

    def rest(self) -> list[str]:
        """The last line, if it has no end."""
        return [_text(self._unfinished)] if self._unfinished else []


def _text(line: bytes) -> str:
    return line.removesuffix(b"\r").decode(errors="replace")
