"""The requirements of a module: its ``requirements.txt``, or the PEP 723 block of its ``main.py``."""

from __future__ import annotations

import codecs
import locale
import os
import re
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from aioparcs.errors import StartError
from aioparcs.transport import os_reason

__all__ = ["Requirements", "read_requirements"]

# The block of inline script metadata, and the expression for it, that PEP 723 defines.
_SCRIPT = re.compile(r"(?m)^# /// script$\s(?P<content>(^#(| .*)$\s)+)^# ///$")
_CLAUSE = re.compile(r"\s*(~=|==|!=|<=|>=|<|>)\s*(\d+(?:\.\d+)*)(\.\*)?\s*")
# pip's rules for the encoding, the comments and the variables of a requirements file.
_MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32",  # before UTF-16: it begins alike
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_COOKIE = re.compile(rb"^[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)")
_COMMENT = re.compile(r"(^|\s+)#.*$")
_VARIABLE = re.compile(r"\$\{([A-Z0-9_]+)\}")
# Folders that building a local package makes or changes.
_BUILT = {"build", "dist", "__pycache__"}


class Requirements(NamedTuple):
    """
    The requirements of a module.

    Attributes:
        names: the requirements, for messages.
        arguments: the arguments of ``pip install`` that install them, in the module's folder.
        content: all that decides what gets installed.
    """

    names: tuple[str, ...]
    arguments: tuple[str, ...]
    content: str


def read_requirements(folder: Path, *, python: tuple[int, ...] | None = sys.version_info[:3]) -> Requirements:
    """
    Read the requirements of a module.

    Args:
        folder: the module.
        python: the version of the Python that will run it, None if it is not known yet.

    Raises:
        StartError: it can't be read, or the module wants another Python than that.
    """
    script = _read_script(folder)
    if python is not None:
        _check_python(folder.name, str(script.get("requires-python", "")), python)
    listed = folder / "requirements.txt"
    if listed.exists():
        names = tuple(_lines(listed, folder))
        return Requirements(names, ("-r", listed.name), "\n".join(_contents(listed, folder, set())))
    names = tuple(map(str, script.get("dependencies", [])))
    content = [text for name in names for text in (name, *_local(name, folder))]
    return Requirements(names, ("--", *names), "\n".join(content))


def _read_script(folder: Path) -> dict[str, Any]:
    main = folder / "main.py"
    try:
        with tokenize.open(main) as file:  # as Python itself reads it
            blocks = list(_SCRIPT.finditer(file.read()))
    except (OSError, SyntaxError, UnicodeError) as error:
        raise _unreadable(folder, main, error) from error
    if not blocks:
        return {}
    if len(blocks) > 1:
        raise StartError(folder.name, f"its main.py has {len(blocks)} blocks of script metadata; only one may be there")
    import tomllib  # few modules have one

    lines = blocks[0]["content"].splitlines()
    try:
        return tomllib.loads("\n".join(line.removeprefix("#").removeprefix(" ") for line in lines))
    except tomllib.TOMLDecodeError as error:
        raise StartError(folder.name, f"the script metadata in its main.py can't be read: {error}") from error


def _unreadable(folder: Path, file: Path, error: Exception) -> StartError:
    reason = os_reason(error) if isinstance(error, OSError) else str(error)
    return StartError(folder.name, f"{file} can't be read: {reason}")


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


def _lines(file: Path, folder: Path) -> list[str]:
    """Return a requirements file's lines as pip reads them: continued lines are joined, and comments are left out."""
    try:
        text = _decode(file.read_bytes())
    except (OSError, UnicodeError, LookupError) as error:
        raise _unreadable(folder, file, error) from error
    lines = (_COMMENT.sub("", line).strip() for line in re.sub(r"\\\r?\n", "", text).splitlines())
    return [line for line in lines if line]


def _decode(data: bytes) -> str:
    for mark, encoding in _MARKS.items():
        if data.startswith(mark):
            return data[len(mark) :].decode(encoding) if encoding == "utf-8" else data.decode(encoding)
    for line in data.split(b"\n")[:2]:
        if cookie := _COOKIE.match(line):
            return data.decode(cookie[1].decode())
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode(locale.getpreferredencoding(False))


def _contents(file: Path, folder: Path, seen: set[Path]) -> Iterator[str]:
    """Yield the lines of a requirements file and of those that it includes, and the files of local packages in it."""
    if file in seen:
        return
    seen.add(file)
    for line in _lines(file, folder):
        line = _VARIABLE.sub(lambda found: os.environ.get(found[1]) or found[0], line)
        yield line
        option = re.match(r"(?:-r|-c|--requirement|--constraint)[\s=]*(\S+)", line)
        if option and (included := file.parent / option[1]).is_file():
            yield from _contents(included, folder, seen)
        yield from _local(line, folder)


def _local(requirement: str, folder: Path) -> Iterator[str]:
    """Yield the files of a requirement that is a local file or folder, each with its size and modification time."""
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
