"""
The source of a module: the files that its image gets, packed into a tar, and their hash.

The hash stands in the tag of each image that was built from it, so that a runner can ask a registry for the image of
a folder as it is now.
"""

from __future__ import annotations

import hashlib
import io
import os
import stat
import tarfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, NamedTuple

from aioparcs.modules.includes import read_includes

__all__ = ["HASH_DIGITS", "IGNORE", "Context", "Packed", "module_files", "source_tag"]

IGNORE = ".dockerignore"
HASH_DIGITS = 12  # of a hash, in a tag
NEVER = (".git", "__pycache__", ".venv")  # what no image needs


def module_files(folder: Path) -> dict[str, Path]:
    """
    Return the files and folders that a module's image gets, by their names in it: all but what `IGNORE` names.

    A link that leads out of the folder stands for what it leads to: in the image it would lead nowhere. The packages
    that the module shares with others, see `read_includes`, come beside its ``main.py``.

    Raises:
        OSError: the folder can't be read, or a link leads to a folder that it is in.
        StartError: a shared package can't go along.
    """
    root = Path(os.path.realpath(folder))
    names, is_ignored = _choose(folder)
    found: dict[str, Path] = {}
    for name in sorted(names):
        if name != IGNORE or not is_ignored(name):
            found.update(_expand_link(name, root / name, (root,), is_ignored))
    for name, path in read_includes(folder).items():
        if not is_ignored(name):
            path = Path(os.path.realpath(path))
            found.update(_expand_link(name, path, (root, path), is_ignored))
    return found


def _choose(folder: Path) -> tuple[set[str], Callable[[str], bool]]:
    """Return the names of what is in a folder and not ignored, and what tells whether a name is ignored."""
    if not (folder / IGNORE).is_file():
        return set(_walk(folder)), lambda name: any(part in NEVER for part in name.split("/"))
    from docker.utils.build import PatternMatcher, exclude_paths  # it takes longer to load than all else of a build

    lines = map(str.strip, (folder / IGNORE).read_text(encoding="utf-8-sig").splitlines())
    ignored = [line for line in lines if line and not line.startswith("#")]
    # Last, so that no line brings it back, or a part of it.
    ignored += [f"**/{name}{inside}" for name in NEVER for inside in ("", "/**")]
    matcher = PatternMatcher(ignored)
    del matcher.patterns[-1]  # "!.dockerignore", which the library adds: Docker has that file in images like any other
    return exclude_paths(folder, [*ignored]), lambda name: matcher.matches(name)


def _walk(folder: Path) -> Iterator[str]:
    def fail(error: OSError) -> None:
        raise error

    for place, folders, files in os.walk(folder, onerror=fail):
        folders[:] = [name for name in folders if name not in NEVER]
        for name in (*folders, *files):
            if name not in NEVER:
                yield os.path.relpath(os.path.join(place, name), folder)


def source_tag(folder: Path) -> str:
    """
    Return the tag that images built from a module's folder have: a hash of its names, modes and bytes.

    Raises:
        OSError: the folder can't be read.
        StartError: a shared package can't go along.
    """
    context = Context()
    context.add_source(module_files(folder))
    with open(os.devnull, "wb") as file:  # the hash alone is wanted
        return context.pack(file).tag


def _expand_link(
    name: str, path: Path, ancestors: tuple[Path, ...], is_ignored: Callable[[str], bool]
) -> Iterator[tuple[str, Path]]:
    """Yield a name with its path, and all that is behind a link that leads out of the last folder of ``ancestors``."""
    if _leads_out(path, ancestors[-1]):
        target = Path(os.path.realpath(path))
        if any(one.is_relative_to(target) for one in ancestors):
            raise OSError(f"the link {name} leads to {target}, a folder that it is in; name it in {IGNORE}")
        path, ancestors = target, (*ancestors, target)
    yield name, path
    if len(ancestors) > 1 and path.is_dir() and not path.is_symlink():
        for child in sorted(path.iterdir()):
            inner = f"{name}/{child.name}"
            if not is_ignored(inner):
                yield from _expand_link(inner, child, ancestors, is_ignored)


def _leads_out(path: Path, root: Path) -> bool:
    """Return whether a link would break once its folder is somewhere else; False for one that is broken already."""
    if not path.is_symlink() or not path.exists():
        return False
    return os.path.isabs(os.readlink(path)) or not Path(os.path.realpath(path)).is_relative_to(root)


class Packed(NamedTuple):
    """
    The hashes of a tar's content; times and owners are not part of them.

    Attributes:
        content: a hash of all its names, modes and bytes.
        tag: the tag of the module's source in it, by a hash of the same of its own files only, see `source_tag`.
    """

    content: str
    tag: str


class Context:
    """The context of a build: files and folders to be packed into a tar."""

    def __init__(self) -> None:
        self._sources: dict[str, Path | bytes] = {}
        self._own: dict[str, str] = {}  # the names of the module's files in its folder, by those in the tar

    def add(self, name: str, source: Path | bytes) -> None:
        """Add a file, folder or link under a name, or a file of the bytes given; a folder comes without its content."""
        self._sources[name] = source

    def add_source(self, files: Mapping[str, Path], folder: str = "") -> None:
        """Add the files of a module, see `module_files`, below a folder of the tar."""
        for name, path in files.items():
            self.add(folder + name, path)
            self._own[folder + name] = name

    def pack(self, file: IO[bytes]) -> Packed:
        """
        Write the tar, and return the hashes of what was written.

        Raises:
            OSError: something can't be read, or changed while it was.
        """
        content, own = hashlib.sha256(), hashlib.sha256()
        with tarfile.open(mode="w", fileobj=file) as tar:
            for name in sorted(self._sources):
                entry = _pack(tar, name, self._sources[name])
                # repr: no two entries read alike
                content.update(repr((name, entry)).encode(errors="surrogateescape"))
                if name in self._own:
                    own.update(repr((self._own[name], entry)).encode(errors="surrogateescape"))
        file.seek(0)
        return Packed(content.hexdigest(), f"source-{own.hexdigest()[:HASH_DIGITS]}")


def _pack(tar: tarfile.TarFile, name: str, source: Path | bytes) -> tuple[object, ...] | None:
    """Write one entry, and return all that distinguishes it from another one of its name."""
    info = tarfile.TarInfo(name)
    if isinstance(source, bytes):
        info.size = len(source)
        with io.BytesIO(source) as file:
            return _add(tar, info, file)
    status = source.lstat()
    info.mode, info.mtime = stat.S_IMODE(status.st_mode), int(status.st_mtime)
    if stat.S_ISREG(status.st_mode):
        with source.open("rb") as file:
            info.size = os.fstat(file.fileno()).st_size
            return _add(tar, info, file)
    if stat.S_ISLNK(status.st_mode):
        info.type, info.linkname = tarfile.SYMTYPE, os.readlink(source)
        info.mode = 0o777
    elif stat.S_ISDIR(status.st_mode):
        info.type = tarfile.DIRTYPE
    else:
        return None  # sockets, pipes and devices have no place in an image
    return _add(tar, info, None)


def _add(tar: tarfile.TarFile, info: tarfile.TarInfo, file: IO[bytes] | None) -> tuple[object, ...]:
    hashed = hashlib.sha256()
    tar.addfile(info, _HashingReader(file, hashed) if file else None)
    return info.type, info.mode, info.linkname, info.size, hashed.hexdigest()


class _HashingReader(io.RawIOBase):
    """A file whose bytes are hashed as they are read."""

    def __init__(self, file: IO[bytes], hashed: hashlib._Hash) -> None:
        super().__init__()
        self._file = file
        self._hashed = hashed

    def read(self, size: int = -1, /) -> bytes:
        data = self._file.read(size)
        self._hashed.update(data)
        return data
