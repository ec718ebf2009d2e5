"""
The packages that a module shares with others: paths outside of its folder that go along with it.

They stand in the list ``include`` of an ``aioparcs.toml`` beside ``main.py``, or of ``[tool.aioparcs]`` in a
``pyproject.toml`` there.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aioparcs.errors import StartError
from aioparcs.transport import os_reason

__all__ = ["INCLUDED", "read_includes"]

INCLUDED = ".aioparcs-included"
"""The file in an image that says that all of it is there already, beside ``main.py``."""

_FILE, _PROJECT, _KEY = "aioparcs.toml", "pyproject.toml", "include"


def read_includes(folder: Path) -> dict[str, Path]:
    """
    Return the packages and modules of Python that go along with a module, by their names beside its ``main.py``.

    Args:
        folder: the module.

    Raises:
        StartError: the list can't be read, or one of them is missing, can't be imported, or has the name of another.
    """
    if (folder / INCLUDED).is_file():
        return {}
    file, entries = _read_list(folder)
    found: dict[str, Path] = {}
    for entry in entries:
        path = Path(os.path.normpath(folder / entry))
        if problem := _problem(folder, path, found):
            raise StartError(folder.name, f"include {entry!r} in its {file}: {problem}")
        found[path.name] = path
    return found


def _read_list(folder: Path) -> tuple[str, list[str]]:
    """Return the file that has the list, and the list; an empty one if there is none."""
    own = _read_toml(folder, _FILE)
    tools = (_read_toml(folder, _PROJECT) or {}).get("tool")
    project = tools.get("aioparcs") if isinstance(tools, dict) else None
    if own is not None and project is not None:
        raise StartError(folder.name, f"both {_FILE} and [tool.aioparcs] in {_PROJECT} are there; keep one of them")
    file, table = (_FILE, own) if own is not None else (_PROJECT, project)
    if table is None:
        return file, []
    if not isinstance(table, dict):
        raise StartError(folder.name, f"{table!r} in its {file}: the only key is {_KEY}, a list of paths")
    if unknown := sorted(table.keys() - {_KEY}):
        raise StartError(folder.name, f"{file}: {_unknown_key(unknown[0])}")
    entries = table.get(_KEY, [])
    if not isinstance(entries, list) or not all(isinstance(entry, str) and entry.strip() for entry in entries):
        raise StartError(folder.name, f'{_KEY} in its {file} is not a list of paths such as ["../units"]')
    return file, entries


def _unknown_key(key: str) -> str:
    from difflib import get_close_matches  # for this message only

    advice = f"did you mean {_KEY!r}?" if get_close_matches(key, [_KEY]) else f"the only key is {_KEY!r}"
    return f"unknown key {key!r}; {advice}"


def _read_toml(folder: Path, name: str) -> dict[str, Any] | None:
    """Return the content of a file of the module, None if it is not there."""
    try:
        text = (folder / name).read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeError) as error:
        reason = os_reason(error) if isinstance(error, OSError) else str(error)
        raise StartError(folder.name, f"{folder / name} can't be read: {reason}") from error
    import tomllib  # few modules have one

    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise StartError(folder.name, f"{folder / name} can't be read: {error}") from error


def _problem(folder: Path, path: Path, others: Mapping[str, Path]) -> str:
    """Return the reason why a path can't go along, "" if it can."""
    if not path.exists():
        return f"there is no {path}"
    real = Path(os.path.realpath(path))
    if Path(os.path.realpath(folder)).is_relative_to(real):
        return f"the module itself is in {path}; name the packages in there"
    if not path.is_dir() and path.suffix != ".py":
        return "it is neither a package's folder nor a .py file; a symbolic link beside main.py takes other files along"
    if inner := _packages_inside(path):
        paths = ", ".join(os.path.relpath(one, folder) for one in inner)
        return f"it has packages, and is none itself; list {paths}"
    name = path.name.removesuffix(".py")
    if not name.isidentifier():
        return f"no program can import {name!r}; rename it"
    return _conflict(folder, path, name, others)


def _packages_inside(path: Path) -> list[Path]:
    """Return the packages in a folder that has nothing else to import, such as ``src``; none for what is a package."""
    if not path.is_dir() or any(path.glob("*.py")):
        return []
    return sorted(one.parent for one in path.glob("*/__init__.py"))


def _conflict(folder: Path, path: Path, name: str, others: Mapping[str, Path]) -> str:
    for taken in (name, f"{name}.py"):
        if taken in others:
            return f"it and {others[taken]} would both be imported as {name}; rename one"
        if os.path.lexists(folder / taken):
            return f"{folder.name}/{taken} would be imported as {name}, too; rename one"
    if name in sys.stdlib_module_names or name == "aioparcs":
        return f"it would hide {name} of {'aioparcs' if name == 'aioparcs' else 'Python'} itself; rename {path.name}"
    return ""
