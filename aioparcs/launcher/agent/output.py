"""The output, the progress and the ends of workers, on their way to the runner."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from aioparcs.launcher.agent.lines import Lines
from aioparcs.launcher.reports import PEER_OPENED, PROGRESS, REPORT
from aioparcs.messages.launcher import Exited, Log, LogLine, Progress

__all__ = ["News", "Output"]

_CHUNK = 64 << 10
# What is sent at once, and what the end of a worker may quote: what the runner has not taken yet fits into the
# window that any TCP connection has to begin with, so a runner that stands still never looks like one that is gone.
_BATCH, _QUOTE, _REPORTS = 24 << 10, 4 << 10, 256
# Bytes that a pipe may hold when its writer has ended; what others write to it after that is not read.
_LARGEST_PIPE = 1 << 20


class News(NamedTuple):
    """
    One batch of output, progress and ends for the runner.

    Attributes:
        log: what was printed.
        progress: how far workers are.
        exits: those that ended.
    """

    log: Log
    progress: list[Progress]
    exits: list[Exited]


class Output:
    """
    Reads the workers' output as fast as they write it, so that printing never slows them.

    Lines wait in a bounded queue; what finds no room is dropped and counted.

    Args:
        loop: the event loop.
        reports: the reading end of the pipe that workers' reports come through.
        queue: lines that may wait.
        last_lines: last lines that are remembered of each worker.
        on_peer: called when a worker has opened, or not open any longer, a channel to another one; with the numbers of
            both, and which of it.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        reports: int,
        queue: int,
        last_lines: int,
        on_peer: Callable[[int, int, bool], object],
    ) -> None:
        self._loop = loop
        self._reports = reports
        self._on_peer = on_peer
        self._queue = queue
        self._last_lines = last_lines
        self._lines: deque[LogLine] = deque()
        self._dropped = 0
        self._progress: dict[int, Progress] = {}
        self._exits: deque[_PendingExit] = deque()
        self._added = self._taken = 0
        self._pipes: dict[int, _Pipe] = {}
        self._news = asyncio.Event()
        os.set_blocking(reports, False)
        loop.add_reader(reports, self._read_reports)

    def add(self, worker: int, descriptor: int) -> None:
        """Read a worker's output from now on."""
        os.set_blocking(descriptor, False)
        self._pipes[worker] = _Pipe(descriptor, Lines(self._last_lines))
        self._loop.add_reader(descriptor, self._read, worker)

    def finish(self, exited: Exited) -> None:
        """Read what a worker that has ended left in its pipe, and queue its end, with its last lines, for `news`."""
        worker = exited.worker
        pipe = self._pipes.pop(worker, None)
        if pipe is not None:
            size = 0
            while size < _LARGEST_PIPE and (count := self._read_chunk(worker, pipe)):
                size += count
            self._add_lines(worker, pipe.lines.finish())
            self._loop.remove_reader(pipe.descriptor)
            os.close(pipe.descriptor)
        last = list(pipe.lines.last) if pipe else []
        self._exits.append(_PendingExit(self._added, exited._replace(lines=_shorten(last + exited.lines))))
        self._news.set()

    async def news(self) -> News:
        """Wait for news, and return a batch of it."""
        await self._news.wait()
        lines: list[LogLine] = []
        room = _BATCH
        while self._lines and (room := room - _size(self._lines[0].text)) >= 0:
            lines.append(self._lines.popleft())
        self._taken += len(lines)
        dropped, self._dropped = self._dropped, 0
        progress = [self._progress.popitem()[1] for _ in range(min(_REPORTS, len(self._progress)))]
        exits: list[Exited] = []
        while self._exits and self._exits[0].lines_before <= self._taken:
            exited = self._exits[0].exited
            room -= sum(map(_size, exited.lines), 16 + len(exited.results))
            if room < -_QUOTE and exits:
                break
            exits.append(self._exits.popleft().exited)
        if not (self._lines or self._exits or self._progress):
            self._news.clear()
        return News(Log(lines, dropped), progress, exits)

    def wake(self) -> None:
        """Wake `news`, which returns an empty batch if there is nothing."""
        self._news.set()

    @property
    def is_reported(self) -> bool:
        """True when no news waits."""
        return not self._news.is_set()

    def close(self) -> None:
        """Stop reading."""
        self._loop.remove_reader(self._reports)
        for pipe in self._pipes.values():
            self._loop.remove_reader(pipe.descriptor)
            os.close(pipe.descriptor)
        self._pipes.clear()

    def _read(self, worker: int) -> None:
        self._read_chunk(worker, self._pipes[worker])

    def _read_chunk(self, worker: int, pipe: _Pipe) -> int:
        """Read once; returns how many bytes came."""
        try:
            data = os.read(pipe.descriptor, _CHUNK)
        except BlockingIOError:
            return 0
        if data:
            self._add_lines(worker, pipe.lines.feed(data))
        else:
            self._loop.remove_reader(pipe.descriptor)
        return len(data)

    def _add_lines(self, worker: int, lines: list[str]) -> None:
        for line in lines:
            if len(self._lines) >= self._queue:
                self._dropped += 1
            else:
                self._lines.append(LogLine(worker, line))
                self._added += 1
        if lines:
            self._news.set()

    def _read_reports(self) -> None:
        with suppress(BlockingIOError):
            for kind, worker, first, second in REPORT.iter_unpack(os.read(self._reports, 1000 * REPORT.size)):
                if kind == PROGRESS:
                    self._progress[worker] = Progress(worker, first, second)
                    self._news.set()
                else:
                    self._on_peer(worker, int(first), kind == PEER_OPENED)


class _PendingExit(NamedTuple):
    """A worker's end, which comes behind what it printed: so many lines, counted from the beginning."""

    lines_before: int
    exited: Exited


class _Pipe(NamedTuple):
    """One worker's output."""

    descriptor: int
    lines: Lines


def _size(line: str) -> int:
    return 16 + len(line.encode())


def _shorten(lines: list[str]) -> list[str]:
    """Return the last of some lines, as many as may be quoted."""
    kept: list[str] = []
    room = _QUOTE
    for line in reversed(lines):
        kept.append(line if len(line) <= _QUOTE // 4 else f"{line[: _QUOTE // 4]}...")
        if (room := room - len(kept[-1])) < 0:
            break
    return kept[::-1]
