"""The journals that the calls of one pool use."""

from __future__ import annotations

import asyncio
import os
from hashlib import blake2b
from time import monotonic
from typing import Any, NamedTuple

from aioparcs import codec
from aioparcs.channel import NO_FUNCTION, VERSION
from aioparcs.errors import JournalError, ParcsError, RemoteError, fresh
from aioparcs.events import EventBus, Notice
from aioparcs.journal import SIZE, Journal
from aioparcs.pool.dispatch import PoolWorker, PoolWorkers
from aioparcs.pool.options import PoolOptions
from aioparcs.qualname import MAIN, QualifiedName
from aioparcs.task import Task

__all__ = ["FunctionJournal", "Journals"]

_SETUP = "setup"


class FunctionJournal(NamedTuple):
    """A function in an open journal, by its number there."""

    journal: Journal
    function: int


class Journals:
    """
    The journals of one pool: each is open, and locked, from its first use to the end of the pool.

    Args:
        workers: those that are up, which know the versions of functions.
        options: the pool's.
        events: gets a warning when a disk doesn't answer.
    """

    def __init__(self, workers: PoolWorkers, options: PoolOptions, events: EventBus) -> None:
        self._events = events
        self._workers = workers
        self._options = options
        self._journals: dict[str, asyncio.Task[Journal]] = {}  # by path
        self._functions: dict[tuple[str, str], asyncio.Task[FunctionJournal]] = {}  # by path and name
        self._left: list[Journal] = []  # those to close

    def open(self, path: Any, function: str) -> asyncio.Task[FunctionJournal]:
        """
        Open a journal for a function, unless it is open for that already; one that can't be opened is tried again.

        Args:
            path: the file's name.
            function: the name by which workers know the function.

        Raises:
            TypeError: the path is none.
        """
        try:
            place = os.path.realpath(os.fsdecode(path))
        except TypeError:
            raise TypeError(f"journal={path!r}: it must be the name of a file, a text or a Path") from None
        opening = self._functions.get((place, function))
        if opening is None or (opening.done() and (opening.cancelled() or opening.exception())):
            opening = self._functions[place, function] = asyncio.ensure_future(self._open(place, function))
        return opening

    async def aclose(self) -> None:
        """
        Close all journals, when what was written is on the disk.

        Raises:
            JournalError: a disk has failed.
        """
        openings = [*self._functions.values(), *self._journals.values()]
        for opening in openings:
            opening.cancel()
        await asyncio.gather(*openings, return_exceptions=True)
        errors = await asyncio.gather(*(journal.aclose() for journal in self._left), return_exceptions=True)
        for error in errors:
            if error is not None:
                raise error

    # Inside

    async def _open(self, path: str, function: str) -> FunctionJournal:
        journal = self._journals.get(path)
        if journal is None or (journal.done() and (journal.cancelled() or journal.exception())):
            journal = self._journals[path] = asyncio.ensure_future(self._open_file(path))
        await asyncio.wait([journal])
        name, version = await self._describe(path, function)
        return FunctionJournal(journal.result(), await journal.result().add_function(name, version))

    async def _open_file(self, path: str) -> Journal:
        journal = Journal(path, self._warn)
        self._left.append(journal)
        try:
            await journal.open()
        except JournalError:
            self._left.remove(journal)
            await journal.aclose()
            raise
        return journal

    def _warn(self, text: str) -> None:
        self._events.publish(Notice(monotonic(), self._options.spec.module, text, is_warning=True))

    async def _describe(self, path: str, function: str) -> tuple[str, bytes]:
        """Return the name of a function, and its version; the constants of ``setup`` are a part of what it is."""
        name, version = await self._ask(path, function)
        setup = self._options.setup
        if setup is not None:
            _, version_of_setup = await self._ask(path, _SETUP)
            parts = version + version_of_setup + codec.digest(dict(setup))
            version = blake2b(parts, digest_size=SIZE).digest()
        return name, version

    async def _ask(self, path: str, function: str) -> tuple[str, bytes]:
        """Ask a worker what a function is; another one if it dies of something meanwhile."""
        news = asyncio.Event()  # another worker is there, or the pool has failed
        self._workers.on_change.append(news.set)
        try:
            while True:
                news.clear()
                for worker in list(self._workers.up.values()):
                    if (answer := await self._ask_worker(worker, path, function)) is not None:
                        return answer
                if self._workers.error is not None:
                    raise fresh(self._workers.error)
                await news.wait()
        finally:
            self._workers.on_change.remove(news.set)

    async def _ask_worker(self, worker: PoolWorker, path: str, function: str) -> tuple[str, bytes] | None:
        """Ask one worker what a function is; return None if it is gone."""
        try:
            module, name, version = await Task(worker.task).call(VERSION, function)
        except RemoteError as error:
            if error.type == NO_FUNCTION:
                raise
            reason = f"{worker.task.name} can't tell which version of {function or 'its function'} it has"
            raise JournalError(path, f"{reason}; {error.type}: {error.message}") from None
        except ParcsError:
            return None
        spec = self._options.spec
        if module == MAIN and spec.target is None:  # the program of a folder
            module = spec.module
        return str(QualifiedName(module, name)), version
