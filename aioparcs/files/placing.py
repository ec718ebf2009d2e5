"""Files that come to where workers run: checked in a folder of their own, and then put where nothing else is."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path, PurePosixPath

from aioparcs.files.listing import SENT, read_listing, record_file
from aioparcs.files.receiving import DAMAGED, ReceivedFiles

__all__ = ["place_files"]

_BLOCK = 1 << 20


def place_files(folder: Path, stream: io.RawIOBase) -> None:
    """
    Put files from the tar of an `OutgoingFiles`, whose listing is `SENT`, into a folder.

    Args:
        folder: the folder; files that it has already stay, and may have the same content.
        stream: the tar, which is read to its end.

    Raises:
        OSError: it is damaged, a file can't be written, or another one has its place; nothing was put there.
    """
    with _PlacedFiles(folder) as files:
        files.receive(stream)
        files.publish()


class _PlacedFiles(ReceivedFiles):
    """Files that take no other's place."""

    how = "sent"

    def receive(self, stream: io.RawIOBase) -> None:
        """Write all that the tar holds, and compare it with its listing."""
        try:
            with tarfile.open(mode="r|", fileobj=stream, bufsize=_BLOCK) as tar:
                for member in tar:
                    self._extract(tar, member, str(_checked(member)), PurePosixPath())
        except DAMAGED as error:
            raise OSError(f"the files arrived damaged: {error}") from error
        while stream.read(_BLOCK):
            pass  # what fills up the tar
        if SENT not in self.files:
            raise OSError("the files arrived without their listing")
        listing = read_listing(self.content(SENT))
        del self.files[SENT]
        self.check(listing, "arrived damaged")

    def publish(self) -> None:
        """Move all to its place, but what is there already."""
        for name, record in list(self.files.items()):
            place = self._folder / name
            if place.is_file():
                if record_file(place) != record:
                    raise OSError(f"{place} is another file than the one that was sent; rename one, or name that of an "
                                  "image in its .dockerignore")  # fmt: skip
                del self.files[name]
        super().publish()


def _checked(member: tarfile.TarInfo) -> PurePosixPath:
    """Return the path of a member, if it is a file or a folder inside of the tar's own."""
    path = PurePosixPath(member.name)
    if path.is_absolute() or ".." in path.parts or not path.parts or not (member.isdir() or member.isreg()):
        raise OSError(f"the files arrived with something else among them: {member.name!r}")
    return path
