"""Files on their way from another machine: checked in a folder of their own, then moved to their places at once."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from tempfile import mkdtemp
from types import TracebackType
from typing import Self

from aioparcs.files.listing import FileRecord, Listing

__all__ = ["DAMAGED", "ReceivedFiles"]

DAMAGED = (tarfile.TarError, ValueError, OverflowError)
"""What reading a tar that no program has made raises: also for a time that is none, or a NUL in a name."""
_BLOCK = 1 << 20


class ReceivedFiles:
    """
    Files that have arrived; leaving its block removes what was not moved to its place.

    Args:
        folder: the folder that they are for.

    Attributes:
        files: those that have arrived, by their names in the folder.
        left_out: the names of what is no file, folder or link inside of what is fetched.
        size: the bytes that have arrived.
        how: how they have come, for errors.
    """

    how = "fetched"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with _about(folder):
            self._staging = Path(mkdtemp(prefix=".aioparcs-", dir=folder))
        self._folders: list[str] = []
        self._links: list[str] = []
        self.files: dict[str, FileRecord] = {}
        self.left_out: list[str] = []
        self.size = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shutil.rmtree(self._staging, ignore_errors=True)

    def extract(self, name: str, stream: io.RawIOBase) -> None:
        """
        Write what a tar holds of one name, a file or a folder.

        Args:
            name: the name in the folder; the tar has the last part of it only.
            stream: the tar.

        Raises:
            OSError: the tar is damaged or has other names, or a file can't be written.
        """
        above = PurePosixPath(name).parent
        try:
            with tarfile.open(mode="r|", fileobj=stream, bufsize=_BLOCK) as tar:
                for member in tar:
                    self._extract(tar, member, str(_checked(member.name, name)), above)
        except DAMAGED as error:
            raise OSError(f"{name} arrived damaged: {error}") from error

    def content(self, name: str) -> bytes:
        """Return the content of a file that has arrived."""
        return (self._staging / name).read_bytes()

    def check(
        self, listing: Listing, reason: str = "changed after its runner had ended, or was damaged on its way"
    ) -> None:
        """
        Compare what has arrived with a listing of what was there.

        Args:
            listing: the listing.
            reason: what is said of a file that is another one.

        Raises:
            OSError: a file is missing, or is another one.
        """
        for name, record in listing.items():
            if name not in self.files:
                raise OSError(f"{name} was listed and has not arrived")
            if self.files[name] != record:
                raise OSError(f"{name} {reason}")

    def publish(self) -> None:
        """
        Move all to its place; files of the same names are replaced, others stay.

        Raises:
            OSError: a folder is where a file should be, or the other way round; nothing was moved.
        """
        for name in (*self.files, *self._links):
            self._check_place(self._folder / name)
        for name in self._folders:
            if (place := self._folder / name).exists() and not place.is_dir():
                raise OSError(f"{place} is a file, and a folder of that name was {self.how}; rename one")
        for name in self._folders:
            (self._folder / name).mkdir(parents=True, exist_ok=True)
        for name in (*self.files, *self._links):
            with _about(place := self._folder / name):
                place.parent.mkdir(parents=True, exist_ok=True)
                os.replace(self._staging / name, place)

    def _check_place(self, place: Path) -> None:
        if place.is_dir() and not place.is_symlink():
            raise OSError(f"{place} is a folder, and a file of that name was {self.how}; rename one")
        for parent in place.parents:
            if parent.exists() and not parent.is_dir():
                raise OSError(f"{parent} is a file, and a folder of that name was {self.how}; rename one")

    def _extract(self, tar: tarfile.TarFile, member: tarfile.TarInfo, inner: str, above: PurePosixPath) -> None:
        name = str(above / inner)
        if not set(map(str, PurePosixPath(name).parents)).isdisjoint(self._links):
            raise OSError(f"{name} arrived behind a link")  # it might lead anywhere
        place = self._staging / name
        place.parent.mkdir(parents=True, exist_ok=True)
        if member.isdir():
            place.mkdir(exist_ok=True)
            self._folders.append(name)
        elif member.isreg():
            with _about(self._folder / name):  # a disk that is full names no file
                self.files[name] = self._write(tar, member, place)
        elif member.islnk() and (other := str(above / member.linkname)) in self.files:
            shutil.copy2(self._staging / other, place)
            self.files[name] = self.files[other]
        elif member.issym() and _stays_inside(inner, member.linkname):
            place.symlink_to(member.linkname)
            self._links.append(name)
        else:
            self.left_out.append(name)

    def _write(self, tar: tarfile.TarFile, member: tarfile.TarInfo, place: Path) -> FileRecord:
        hashed = hashlib.sha256()
        source = tar.extractfile(member)
        assert source is not None, "a file has content"
        with place.open("xb") as file:
            while block := source.read(_BLOCK):
                hashed.update(block)
                self.size += len(block)
                file.write(block)
        place.chmod(member.mode & 0o777)
        os.utime(place, (member.mtime, member.mtime))
        return FileRecord(member.size, hashed.hexdigest())


@contextmanager
def _about(place: Path) -> Iterator[None]:
    """Name a file or folder in the system's errors in the block, in place of one that is only temporary."""
    try:
        yield
    except OSError as error:
        if error.errno:
            error.filename, error.filename2 = str(place), None
        raise


def _checked(inner: str, name: str) -> PurePosixPath:
    """Return the path in a tar, if it is the last part of a name or below it."""
    path = PurePosixPath(inner)
    if path.is_absolute() or ".." in path.parts or path.parts[:1] != (PurePosixPath(name).name,):
        raise OSError(f"{name} arrived with another name in it: {inner!r}")
    return path


def _stays_inside(name: str, target: str) -> bool:
    """Return True for a link that leads to another name of the same tar."""
    inside = os.path.normpath(os.path.join(os.path.dirname(name), target))
    return not os.path.isabs(target) and inside.split("/")[0] == name.split("/")[0]
