"""Listings of files with their sizes and hashes: what one side has, for the other side to compare."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import NamedTuple

__all__ = ["SENT", "WRITTEN", "FileRecord", "Listing", "find_files", "list_files", "read_listing", "record_file",
           "write_listing"]  # fmt: skip

SENT, WRITTEN = ".aioparcs-sent", ".aioparcs-written"
"""The files that list what a submitted runner or a worker's launcher was sent, and what such a runner has written."""

_BLOCK = 1 << 20


class FileRecord(NamedTuple):
    """
    The content of a file.

    Attributes:
        size: its bytes.
        sha256: their hash, in hexadecimal digits.
    """

    size: int
    sha256: str


Listing = Mapping[str, FileRecord]


def find_files(folder: Path, names: Iterable[str]) -> dict[str, Path]:
    """
    Return files and folders with all that is in them, and the folders above them, by their names in a folder.

    Symbolic links stand for what they lead to.

    Raises:
        OSError: one is missing or neither a file nor a folder, a link leads to a folder that it is in, or a folder
            can't be read.
    """
    found: dict[str, Path] = {}
    for name in names:
        for parent in list(PurePosixPath(name).parents)[:-1]:
            found[str(parent)] = folder / parent
        _find(found, name, folder / name, ())
    return dict(sorted(found.items()))


def list_files(folder: Path, names: Iterable[str]) -> dict[str, FileRecord]:
    """
    Return the files among some names, and in the folders among them; what is missing, and links, are left out.

    Raises:
        OSError: something can't be read.
    """
    found: dict[str, FileRecord] = {}
    for name in names:
        path = folder / name
        if path.is_file() and not path.is_symlink():
            found[name] = record_file(path)
        elif path.is_dir() and not path.is_symlink():
            found |= list_files(folder, [f"{name}/{child}" for child in sorted(os.listdir(path))])
    return found


def write_listing(listing: Listing) -> bytes:
    """Return a listing as text."""
    return json.dumps(listing).encode()


def read_listing(data: bytes) -> dict[str, FileRecord]:
    """
    Return the listing that a text holds.

    Raises:
        OSError: it holds none.
    """
    try:
        return {name: FileRecord(*record) for name, record in json.loads(data).items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise OSError(f"the listing of files is damaged: {error}") from error


def _find(found: dict[str, Path], name: str, path: Path, ancestors: tuple[str, ...]) -> None:
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        what = (
            f"{name} is a link to {os.readlink(path)}, which is missing" if path.is_symlink() else f"there is no {path}"
        )
        raise OSError(what) from None
    if stat.S_ISDIR(mode):
        real = os.path.realpath(path)
        if real in ancestors:
            raise OSError(f"the link {name} leads to {real}, a folder that it is in")
        found[name] = path
        for child in sorted(os.listdir(path)):
            _find(found, f"{name}/{child}", path / child, (*ancestors, real))
    elif stat.S_ISREG(mode):
        found[name] = path
    else:
        raise OSError(f"{name} is neither a file nor a folder")


def record_file(path: Path) -> FileRecord:
    """
    Return the size and the hash of a file.

    Raises:
        OSError: it can't be read.
    """
    hashed, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            hashed.update(block)
            size += len(block)
    return FileRecord(size, hashed.hexdigest())
