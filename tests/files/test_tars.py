"""The tars that carry files: what is sent as it is read, and what is refused on its way back."""

import io
import os
import tarfile
from pathlib import Path
from typing import Any

import pytest

from aioparcs.files.listing import find_files, list_files, read_listing
from aioparcs.files.receiving import ReceivedFiles
from aioparcs.files.sending import OutgoingFiles

LISTING = ".listing"


def outgoing(folder: Path, *names: str, folders: tuple[str, ...] = ()) -> OutgoingFiles:
    return OutgoingFiles(find_files(folder, names), folders, LISTING)


def unpacked(files: OutgoingFiles) -> tarfile.TarFile:
    return tarfile.open(fileobj=io.BytesIO(b"".join(files.chunks())))


def raw(data: bytes) -> Any:
    return io.BytesIO(data)


# Out


def test_a_tar_has_all_with_its_folders_and_a_listing_that_fits(tmp_path: Path) -> None:
    long = "x" * 200
    (tmp_path / "a" / "b" / long).mkdir(parents=True)
    (tmp_path / "a" / "b" / long / "big").write_bytes(os.urandom(2_500_000))
    (tmp_path / "a" / "b" / "script").write_text("run")
    (tmp_path / "a" / "b" / "script").chmod(0o750)
    (tmp_path / "a" / "other").touch()
    os.close(os.open(os.fsencode(tmp_path) + b"/a/b/\xff\xe9", os.O_CREAT | os.O_WRONLY))
    files = outgoing(tmp_path, "a/b", folders=("out", "out/sub"))
    with unpacked(files) as tar:
        listing = tar.extractfile(LISTING)
        assert listing
        assert read_listing(listing.read()) == list_files(tmp_path, ["a/b"])
        names = [f"a/b/{long}/big", f"a/b/{long}", "a/b/script", "a/b", "a", "out", "out/sub", "a/b/\udcff\udce9"]
        assert tar.getnames() == [*sorted(names), LISTING]
        assert tar.getmember("a/b/script").mode == 0o750
        assert tar.getmember("out/sub").isdir()
    assert (files.count, files.size, files.sent) == (3, 2_500_003, 2_500_003)


@pytest.mark.parametrize("edit", ["longer", "shorter", "same size"])
def test_a_file_that_changes_while_it_is_read_is_an_error(tmp_path: Path, edit: str) -> None:
    path = tmp_path / "big"
    path.write_bytes(bytes(3_000_000))
    chunks = outgoing(tmp_path, "big").chunks()
    next(chunks)
    size = {"longer": 4_000_000, "shorter": 1_000_000, "same size": 3_000_000}[edit]
    path.write_bytes(b"1" * size)
    os.utime(path, ns=(0, 0))  # else a clock of low resolution might show no change
    with pytest.raises(OSError, match="big changed while it was read"):
        list(chunks)


def test_a_listing_that_is_damaged_is_an_error() -> None:
    for data in (b"", b"{", b"[]", b'{"a": [1, 2, 3]}', b'{"a": 1}'):
        with pytest.raises(OSError, match="the listing of files is damaged"):
            read_listing(data)


# In


def tar_of(*members: tarfile.TarInfo) -> Any:
    file = io.BytesIO()
    with tarfile.open(mode="w", fileobj=file) as tar:
        for member in members:
            tar.addfile(member, io.BytesIO(bytes(member.size)))
    return raw(file.getvalue())


def entry(name: str, kind: bytes = tarfile.REGTYPE, target: str = "", size: int = 0) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, target, size
    return info


def test_files_and_links_among_them_come_to_their_places(tmp_path: Path) -> None:
    with ReceivedFiles(tmp_path) as received:
        tar = tar_of(
            entry("out", tarfile.DIRTYPE), entry("out/a", size=3), entry("out/empty", tarfile.DIRTYPE),
            entry("out/same", tarfile.LNKTYPE, "out/a"), entry("out/empty/to", tarfile.SYMTYPE, "../a"),
        )  # fmt: skip
        received.extract("deep/out", tar)
        received.check({"deep/out/a": received.files["deep/out/same"]})
        assert len(os.listdir(tmp_path)) == 1
        received.publish()
    assert os.listdir(tmp_path) == ["deep"]
    assert os.readlink(tmp_path / "deep/out/empty/to") == "../a"
    assert (tmp_path / "deep/out/same").read_bytes() == (tmp_path / "deep/out/a").read_bytes() == bytes(3)
    assert (received.size, received.left_out) == (3, [])


@pytest.mark.parametrize(
    "member",
    [
        entry("out/l", tarfile.SYMTYPE, "/etc/passwd"),
        entry("out/l", tarfile.SYMTYPE, "../l"),
        entry("out/l", tarfile.SYMTYPE, ".."),
        entry("out/l", tarfile.LNKTYPE, "other"),
        entry("out/l", tarfile.FIFOTYPE),
        entry("out/l", tarfile.CHRTYPE),
    ],
)
def test_links_out_and_what_is_no_file_are_left_out(tmp_path: Path, member: tarfile.TarInfo) -> None:
    with ReceivedFiles(tmp_path) as received:
        received.extract("out", tar_of(member, entry("out/a")))
        received.publish()
    assert (os.listdir(tmp_path / "out"), received.left_out) == (["a"], ["out/l"])


@pytest.mark.parametrize(
    "members, reason",
    [
        ([entry("../x")], "out arrived with another name in it: '../x'"),
        ([entry("/etc/x")], "out arrived with another name in it: '/etc/x'"),
        ([entry("out/../../x")], "another name in it"),
        ([entry("other")], "another name in it: 'other'"),
        ([entry("out/d", tarfile.SYMTYPE, "e"), entry("out/d/x")], "out/d/x arrived behind a link"),
        ([entry("out/a"), entry("out/a")], "File exists"),
    ],
)
def test_names_that_would_lead_elsewhere_are_refused(
    tmp_path: Path, members: list[tarfile.TarInfo], reason: str
) -> None:
    with ReceivedFiles(tmp_path) as received, pytest.raises(OSError, match=reason):
        received.extract("out", tar_of(*members))
    assert os.listdir(tmp_path) == []


def test_a_tar_that_is_cut_is_refused(tmp_path: Path) -> None:
    data = tar_of(entry("out", size=5000)).getvalue()
    for length in (0, 100, 2000):
        with ReceivedFiles(tmp_path) as received, pytest.raises(OSError, match="out arrived damaged"):
            received.extract("out", raw(data[:length]))


@pytest.mark.parametrize("here, there", [("out/a", "out"), ("out", "out/a"), ("deep", "deep/out")])
def test_nothing_moves_where_a_file_would_take_a_folders_place(tmp_path: Path, here: str, there: str) -> None:
    (tmp_path / here).parent.mkdir(exist_ok=True)
    (tmp_path / here).write_text("mine")
    with ReceivedFiles(tmp_path) as received:
        received.extract("first", tar_of(entry("first")))
        name = "deep/out" if there.startswith("deep") else "out"
        received.extract(name, tar_of(entry(there.removeprefix("deep/"))))
        with pytest.raises(OSError, match="rename one"):
            received.publish()
    assert [path.name for path in tmp_path.iterdir()] == [here.split("/")[0]]
