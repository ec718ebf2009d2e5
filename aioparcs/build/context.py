"""What a build is sent: files by name, packed into a tar, and the hash of all that decides what comes out."""

from __future__ import annotations

import hashlib
import io
import os
import stat
import tarfile
from pathlib import Path
from typing import IO

from docker.utils.build import exclude_paths

__all__ = ["Context", "module_files"]

IGNORE = ".dockerignore"
# What no image needs; last, so that no line of a .dockerignore brings it back, or a part of it.
NEVER = [f"**/{name}{inside}" for name in (".git", "__pycache__", ".venv") for inside in ("", "/**")]


def module_files(folder: Path) -> list[str]:
    """
    List the files and folders of a module that its image gets: all but what its ``.dockerignore`` names.

    Raises:
        OSError: the folder can't be read.
    """
    ignored: list[str] = []
    if (folder / IGNORE).is_file():
        lines = map(str.strip, (folder / IGNORE).read_text(encoding="utf-8").splitlines())
        ignored = [line for line in lines if line and not line.startswith("#")]
    return sorted(exclude_paths(folder, [*ignored, *NEVER]))


class Context:
    """A tar in the making."""

    def __init__(self) -> None:
        self._sources: dict[str, Path | bytes] = {}

    def add(self, name: str, source: Path | bytes) -> None:
        """Add a file, folder or link under a name, or a file of the bytes given; a folder comes without its content."""
        self._sources[name] = source

    def pack(self, file: IO[bytes]) -> str:
        """
        Write the tar, and give the hash of its names, modes and bytes; times and owners are no part of it.

        Raises:
            OSError: something can't be read, or changed while it was.
        """
        hashed = hashlib.sha256()
        with tarfile.open(mode="w", fileobj=file) as tar:
            for name in sorted(self._sources):
                _pack(tar, name, self._sources[name], hashed)
        file.seek(0)
        return hashed.hexdigest()


def _pack(tar: tarfile.TarFile, name: str, source: Path | bytes, hashed: hashlib._Hash) -> None:
    info = tarfile.TarInfo(name)
    if isinstance(source, bytes):
        info.size = len(source)
        with io.BytesIO(source) as file:
            return _add(tar, info, file, hashed)
    status = source.lstat()
    info.mode, info.mtime = stat.S_IMODE(status.st_mode), int(status.st_mtime)
    if stat.S_ISREG(status.st_mode):
        with source.open("rb") as file:
            info.size = os.fstat(file.fileno()).st_size
            return _add(tar, info, file, hashed)
    if stat.S_ISLNK(status.st_mode):
        info.type, info.linkname = tarfile.SYMTYPE, os.readlink(source)
        info.mode = 0o777
    elif stat.S_ISDIR(status.st_mode):
        info.type = tarfile.DIRTYPE
    else:
        return None  # sockets, pipes and devices have no place in an image
    return _add(tar, info, None, hashed)


def _add(tar: tarfile.TarFile, info: tarfile.TarInfo, file: IO[bytes] | None, hashed: hashlib._Hash) -> None:
    head = repr((info.name, info.type, info.mode, info.linkname, info.size))  # repr: no two heads read alike
    hashed.update(head.encode(errors="surrogateescape"))
    tar.addfile(info, _Watched(file, hashed) if file else None)


class _Watched(io.RawIOBase):
    """A file whose bytes are hashed as they are read."""

    def __init__(self, file: IO[bytes], hashed: hashlib._Hash) -> None:
        super().__init__()
        self._file = file
        self._hashed = hashed

    def read(self, size: int = -1, /) -> bytes:
        data = self._file.read(size)
        self._hashed.update(data)
        return data
