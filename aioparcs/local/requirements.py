"""What a module needs: its ``requirements.txt``, or the PEP 723 block of its ``main.py``."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from aioparcs.errors import StartError

__all__ = ["Requirements", "read_requirements"]

# The block of inline script metadata, and the expression for it, that PEP 723 defines.
_SCRIPT = re.compile(r"(?m)^# /// script$\s(?P<content>(^#(| .*)$\s)+)^# ///$")
_CLAUSE = re.compile(r"\s*(~=|==|!=|<=|>=|<|>)\s*(\d+(?:\.\d+)*)(\.\*)?\s*")
# Folders that building a local package makes or changes.
_BUILT = {"build", "dist", "__pycache__"}


class Requirements(NamedTuple):
    """
    What a module needs.

    Attributes:
        names: the requirements, for people.
        arguments: what ``pip install`` gets to install them, in the module's folder.
        content: all that decides what gets installed.
    """

    names: tuple[str, ...]
    arguments: tuple[str, ...]
    content: str


def read_requirements(folder: Path, *, python: tuple[int, ...] | None = sys.version_info[:3]) -> Requirements:
    """
    Read what a module needs.

    Args:
        folder: the module.
        python: the version of the Python that will run it, None if nobody knows yet.

    Raises:
        StartError: it can't be read, or the module wants another Python than that.
    """
    try:
        script = _read_script(folder)
        if python is not None:
            _check_python(folder.name, str(script.get("requires-python", "")), python)
        listed = folder / "requirements.txt"
        if listed.exists():
            names = tuple(_lines(listed))
            return Requirements(names, ("-r", listed.name), "\n".join(_contents(listed, folder, set())))
    except (OSError, UnicodeDecodeError) as error:
        raise StartError(folder.name, f"what it requires can't be read: {error}") from error
    names = tuple(map(str, script.get("dependencies", [])))
    content = [text for name in names for text in (name, *_local(name, folder))]
    return Requirements(names, ("--", *names), "\n".join(content))


def _read_script(folder: Path) -> dict[str, Any]:
    block = _SCRIPT.search((folder / "main.py").read_text(encoding="utf-8"))
    if block is None:
        return {}
    import tomllib  # few modules have one

    text = "\n".join(line.removeprefix("#").removeprefix(" ") for line in block["content"].splitlines())
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise StartError(folder.name, f"the script metadata in its main.py can't be read: {error}") from error


def _check_python(module: str, wanted: str, here: tuple[int, ...]) -> None:
    for clause in filter(None, wanted.split(",")):
        parsed = _CLAUSE.fullmatch(clause)
        if parsed is None:
            raise StartError(module, f"requires-python = {wanted!r} in its main.py can't be read")
        if not _accepts(here, *parsed.groups()):
            version = ".".join(map(str, here))
            raise StartError(module, f"it needs Python {wanted}, and the local engine has {version}: {sys.executable}")


def _accepts(here: tuple[int, ...], operator: str, text: str, wildcard: str | None) -> bool:
    wanted = tuple(map(int, text.split(".")))
    prefix = here[: len(wanted)]
    if operator in ("==", "!="):
        equal = prefix == wanted if wildcard else here == (*wanted, 0, 0)[: max(3, len(wanted))]
        return equal == (operator == "==")
    if operator == "~=":
        return here >= wanted and here[: len(wanted) - 1] == wanted[:-1]
    if operator in ("<", ">="):
        return (here < wanted) == (operator == "<")
    return ((*wanted, 0, 0)[:3] < here) == (operator == ">")


def _lines(file: Path) -> list[str]:
    """Read a requirements file's lines, without comments."""
    lines = (line.split(" #")[0].strip() for line in file.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def _contents(file: Path, folder: Path, seen: set[Path]) -> Iterator[str]:
    """Give the content of a requirements file, of those that it includes, and of the packages here that it names."""
    if file in seen:
        return
    seen.add(file)
    for line in _lines(file):
        yield line
        option = re.match(r"(?:-r|-c|--requirement|--constraint)[\s=]*(\S+)", line)
        if option and (included := file.parent / option[1]).is_file():
            yield from _contents(included, folder, seen)
        yield from _local(line, folder)


def _local(requirement: str, folder: Path) -> Iterator[str]:
    """If a requirement is a file or a folder here, tell which, and what would change if it did."""
    target = re.split(r"[\s=]", requirement.split(";")[0].strip())[-1].split("[")[0].removeprefix("file:")
    path = folder / target
    if "/" not in target and not target.endswith((".whl", ".zip", ".gz")) and target not in (".", ".."):
        return
    if not path.exists():
        return
    for part in sorted(path.rglob("*")) if path.is_dir() else [path]:
        inner = part.relative_to(path).parts
        if not part.is_file() or any(name in _BUILT or name.endswith(".egg-info") for name in inner):
            continue
        status = part.stat()
        yield f"{part} {status.st_size} {status.st_mtime_ns}"
