"""The tars of files as targets: what a cluster sends of a runner's files, and a runner of its workers'."""

from __future__ import annotations

import io
import os
from pathlib import Path
from tempfile import TemporaryDirectory

from aioparcs.files.placing import place_files
from aioparcs.files.receiving import ReceivedFiles

__all__ = ["files"]


def files(data: bytes) -> None:
    """Receive a tar in both ways: it is refused, or its files are where they belong, and nothing is anywhere else."""
    with TemporaryDirectory(prefix="aioparcs-fuzz-") as above:
        fetched, placed = Path(above, "fetched"), Path(above, "placed")
        fetched.mkdir()
        placed.mkdir()
        try:
            with ReceivedFiles(fetched) as received:
                received.extract("out", io.BytesIO(data))  # type: ignore[arg-type]  # it is read in the same way
                received.publish()
        except OSError:
            pass
        try:
            place_files(placed, io.BytesIO(data))  # type: ignore[arg-type]
        except OSError:
            assert not os.listdir(placed), "a tar was refused, and not all of it was removed"
        assert sorted(os.listdir(above)) == ["fetched", "placed"], os.listdir(above)
        assert set(os.listdir(fetched)) <= {"out"}, os.listdir(fetched)
        _check_links(fetched)


def _check_links(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_symlink():
            target = os.path.normpath(path.parent / os.readlink(path))
            assert target.startswith(f"{folder}{os.sep}"), f"{path} leads to {target}"
