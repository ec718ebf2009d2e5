"""The Python files that a launcher has loaded, compared with those on disk."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import NamedTuple

from aioparcs.launcher.sources import loaded_files

__all__ = ["Marks", "Sources", "Tree", "loaded_marks"]

_Mark = tuple[int, int, int]  # when a file was modified, its size, and its inode
Marks = dict[str, _Mark]


class _Folder(NamedTuple):
    """A folder as of its last modification: its Python files, and the folders in it."""

    modified: int
    files: list[str]
    folders: list[str]


class Tree:
    """
    A module's folder: all its Python files, at any depth.

    Only files and folders that may hold code are looked at, and the names in a folder are read again only when it has
    changed: among many data files that costs a few system calls.
    """

    def __init__(self, folder: Path) -> None:
        self._top = str(folder)
        self._folders: dict[str, _Folder] = {}
        self._next: asyncio.Task[Marks] | None = None

    async def marks(self) -> Marks:
        """Return the mark of each file now; calls in one turn of the loop share one walk, which begins after it."""
        if self._next is None:
            self._next = asyncio.ensure_future(self._walk())
        return await asyncio.shield(self._next)

    async def _walk(self) -> Marks:
        await asyncio.sleep(0)  # also where tasks begin at once, as eager ones do
        self._next = None
        found: Marks = {}
        seen: dict[str, _Folder] = {}
        waiting = [self._top]
        while waiting:
            path = waiting.pop()
            if folder := self._look(path):
                seen[path] = folder
                waiting += folder.folders
                found |= {file: mark for file in folder.files if (mark := _mark(file))}
        self._folders = seen
        return found

    def _look(self, path: str) -> _Folder | None:
        known = self._folders.get(path)
        try:
            modified = os.stat(path).st_mtime_ns
            return known if known and known.modified == modified else _read(path, modified)
        except OSError:
            return None  # it is gone, or isn't this user's to read


def loaded_marks() -> Marks:
    """Return the marks of all files of the user's that this process has loaded: its workers load some of them."""
    return {file: mark for file in loaded_files() if (mark := _mark(file))}


class Sources:
    """
    The Python code of one launcher: the module's folder, and the other files that `serve` reports as loaded.

    Args:
        marks: the marks of the files in the module's folder when it is started.
        if_loaded: True for marks of files that it may load, and that count only if it does.

    Attributes:
        report: the descriptor that the launcher writes its report to; the launcher gets a copy.
    """

    def __init__(self, marks: Marks, *, if_loaded: bool = False) -> None:
        self._marks = marks
        self._if_loaded = if_loaded
        self._elsewhere: dict[str, _Mark | None] = {}
        self.report = os.memfd_create("aioparcs-sources")

    @property
    def are_loading(self) -> bool:
        """True while the launcher has not reached `serve`."""
        if self.report >= 0:
            self._read_report()
        return self.report >= 0

    def have_changed(self, marks: Marks | None) -> bool:
        """
        Return whether a launcher started now would load other code.

        Args:
            marks: the marks of the files in the module's folder now; None where only what it has loaded counts.
        """
        if not self.are_loading and any(_mark(file) != mark for file, mark in self._elsewhere.items()):
            return True
        if self._if_loaded:
            files = self._marks.keys() if self.are_loading else self._marks.keys() & self._elsewhere.keys()
            return any(_mark(file) != self._marks[file] for file in files)
        return marks != self._marks

    def close(self) -> None:
        """Close the descriptor, if the launcher has not reported yet."""
        if self.report >= 0:
            os.close(self.report)
            self.report = -1

    def _read_report(self) -> None:
        report = os.pread(self.report, os.fstat(self.report).st_size, 0)
        if not report.endswith(b"\0\0"):
            return  # it is still loading, or writing
        for line in filter(None, report[:-2].split(b"\0")):
            modified, length, inode, path = line.split(b" ", 3)
            self._elsewhere[os.fsdecode(path)] = int(modified), int(length), int(inode)
        self.close()


def _mark(path: str) -> _Mark | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def _read(path: str, modified: int) -> _Folder:
    files, folders = [], []
    with os.scandir(path) as entries:
        for entry in entries:
            if entry.name.endswith(".py"):
                files.append(entry.path)
            elif entry.name == "pyvenv.cfg":  # an environment, whose packages are not edited
                return _Folder(modified, [], [])
            elif not entry.name.startswith((".", "__pycache__")) and entry.is_dir(follow_symlinks=False):
                folders.append(entry.path)
    return _Folder(modified, files, folders)
