"""Files that come to where workers run: whatever arrives, they are as they were sent or not there at all."""

import io
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aioparcs import SettingError
from aioparcs.engine import WorkerSpec
from aioparcs.files.listing import SENT, FileRecord, find_files, list_files, write_listing
from aioparcs.files.placing import place_files
from aioparcs.files.sending import OutgoingFiles
from tests.support.strategies import property_test

NAMES = st.sampled_from(["a", "b", "a b", "π", ".hidden", "x" * 150])
TREES = st.dictionaries(st.lists(NAMES, min_size=1, max_size=3).map("/".join), st.binary(max_size=3000), max_size=8)


class Pieces(io.RawIOBase):
    """A stream that returns what it has in pieces of some size."""

    def __init__(self, data: bytes, size: int) -> None:
        super().__init__()
        self._file = io.BytesIO(data)
        self._size = size

    def read(self, size: int = -1, /) -> bytes:
        return self._file.read(min(size, self._size) if size >= 0 else self._size)


def write(folder: Path, tree: dict[str, bytes]) -> None:
    for name, content in tree.items():
        path = folder / name
        if not path.is_dir() and not any(parent.is_file() for parent in path.parents):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


def tar_of(folder: Path) -> bytes:
    names = sorted(path.name for path in folder.iterdir())
    return b"".join(OutgoingFiles(find_files(folder, names), (), SENT).chunks())


def everything(folder: Path) -> dict[str, Any]:
    return list_files(folder, sorted(path.name for path in folder.iterdir()))


@pytest.mark.slow
@given(tree=TREES, size=st.integers(1, 5000))
@property_test
def test_any_tree_arrives_as_it_is(tree: dict[str, bytes], size: int) -> None:
    with tempfile.TemporaryDirectory() as here, tempfile.TemporaryDirectory() as there:
        write(Path(here), tree)
        place_files(Path(there), Pieces(tar_of(Path(here)), size))
        assert everything(Path(there)) == everything(Path(here))
        place_files(Path(there), Pieces(tar_of(Path(here)), size))  # again: they are the same
        assert everything(Path(there)) == everything(Path(here))


@pytest.mark.slow
@given(tree=TREES.filter(bool), data=st.data())
@property_test
def test_of_what_is_damaged_nothing_arrives(tree: dict[str, bytes], data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as here, tempfile.TemporaryDirectory() as there:
        write(Path(here), tree)
        whole = everything(Path(here))
        tar = bytearray(tar_of(Path(here)))
        if data.draw(st.booleans(), "cut"):
            tar = tar[: data.draw(st.integers(0, len(tar) - 2000), "length")]
        else:
            tar[data.draw(st.integers(0, len(tar) - 1), "place")] ^= 1 << data.draw(st.integers(0, 7), "bit")
        try:
            place_files(Path(there), Pieces(bytes(tar), 1000))
        except OSError:
            assert everything(Path(there)) == {}
        else:  # a bit of a time or a mode, or behind the end
            assert everything(Path(there)) == whole


@pytest.mark.parametrize(
    "member, reason",
    [
        (("../x", tarfile.REGTYPE), "something else among them: '../x'"),
        (("/x", tarfile.REGTYPE), "something else among them: '/x'"),
        (("x", tarfile.SYMTYPE), "something else among them: 'x'"),
        (("x", tarfile.FIFOTYPE), "something else among them: 'x'"),
        (("x", tarfile.REGTYPE), "without their listing"),
    ],
)
def test_what_does_not_belong_there_is_refused(tmp_path: Path, member: tuple[str, bytes], reason: str) -> None:
    file = io.BytesIO()
    with tarfile.open(mode="w", fileobj=file) as tar:
        info = tarfile.TarInfo(member[0])
        info.type, info.linkname = member[1], "/etc/passwd"
        tar.addfile(info)
    with pytest.raises(OSError, match=reason):
        place_files(tmp_path, Pieces(file.getvalue(), 1000))
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_listed_and_missing_is_an_error(tmp_path: Path) -> None:
    listing, file = write_listing({"x": FileRecord(1, "00")}), io.BytesIO()
    with tarfile.open(mode="w", fileobj=file) as tar:
        info = tarfile.TarInfo(SENT)
        info.size = len(listing)
        tar.addfile(info, io.BytesIO(listing))
    with pytest.raises(OSError, match="x was listed and has not arrived"):
        place_files(tmp_path, Pieces(file.getvalue(), 1000))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "given, reason",
    [
        ("data", "files='data': it must be a list of files and folders, such as \\['data'\\]"),
        ([1], "it must be a list of files and folders"),
        (["../x"], "files: ../x is not in the current folder; make a symbolic link to it here"),
        (["/etc/passwd"], "files: /etc/passwd is not in the current folder"),
        (["."], "files: . is the current folder; name files and folders in it"),
        ([""], "files: '' is not a path"),
    ],
)
def test_names_that_make_no_sense_are_refused(given: Any, reason: str) -> None:
    with pytest.raises(SettingError, match=reason):
        WorkerSpec.make("m", files=given)
    with pytest.raises(SettingError, match="a service of the original PARCS has no launcher"):
        WorkerSpec.make("m", files=["x"], wire="v1")
