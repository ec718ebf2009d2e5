"""The tar of files on their way to another machine: made while it is read, with a listing of them at its end."""

from __future__ import annotations

import hashlib
import os
import stat
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from aioparcs.files.listing import FileRecord, write_listing

__all__ = ["OutgoingFiles"]

_BLOCK = 1 << 20  # bytes that are read and passed on at once


class OutgoingFiles:
    """
    Files to be sent.

    Args:
        files: files and folders by their names, see `find_files`.
        folders: more folders, which come without what is in them.
        listing: the name of the file with the listing of the others.

    Attributes:
        size: the bytes of the files.
        sent: how many of them were passed on.
    """

    def __init__(self, files: Mapping[str, Path], folders: Iterable[str], listing: str) -> None:
        self._entries: dict[str, Path | None] = {**dict.fromkeys(folders), **files}
        self._name = listing
        self._hashes: dict[str, FileRecord] = {}
        self.size = sum(path.stat().st_size for path in files.values() if not path.is_dir())
        self.sent = 0

    @property
    def count(self) -> int:
        """The number of files that were passed on whole."""
        return len(self._hashes)

    def chunks(self) -> Iterator[bytes]:
        """
        Yield the tar, in pieces of about a mebibyte.

        Raises:
            OSError: a file can't be read, or changes meanwhile.
        """
        waiting = bytearray()
        for piece in self._pieces():
            waiting += piece
            if len(waiting) >= _BLOCK:
                yield bytes(waiting)
                waiting.clear()
        yield bytes(waiting)

    def _pieces(self) -> Iterator[bytes]:
        for name, path in sorted(self._entries.items()):
            if path is None or path.is_dir():
                yield _header(name, tarfile.DIRTYPE, path.stat() if path else None)
            else:
                yield from self._file(name, path)
        listing = write_listing(self._hashes)
        info = tarfile.TarInfo(self._name)
        info.size = len(listing)
        yield _bytes(info) + listing + _padding(len(listing)) + bytes(2 * tarfile.BLOCKSIZE)

    def _file(self, name: str, path: Path) -> Iterator[bytes]:
        hashed = hashlib.sha256()
        with path.open("rb", buffering=0) as file:
            status = os.fstat(file.fileno())
            yield _header(name, tarfile.REGTYPE, status)
            left = status.st_size
            while left and (block := file.read(min(left, _BLOCK))):
                hashed.update(block)
                left -= len(block)
                self.sent += len(block)
                yield block
            after = os.fstat(file.fileno())
        if left or (after.st_size, after.st_mtime_ns) != (status.st_size, status.st_mtime_ns):
            raise OSError(f"{path} changed while it was read")
        yield _padding(status.st_size)
        self._hashes[name] = FileRecord(status.st_size, hashed.hexdigest())


def _header(name: str, kind: bytes, status: os.stat_result | None) -> bytes:
    info = tarfile.TarInfo(name)
    info.type, info.mode = kind, 0o755
    if status:
        info.mode, info.mtime = stat.S_IMODE(status.st_mode), int(status.st_mtime)
    if status and kind == tarfile.REGTYPE:
        info.size = status.st_size
    return _bytes(info)


def _bytes(info: tarfile.TarInfo) -> bytes:
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def _padding(size: int) -> bytes:
    return bytes(-size % tarfile.BLOCKSIZE)
