"""Where the module that a command line names is, and which ones there are instead."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import click

from aioparcs.local import find_modules, module_folders

__all__ = ["Usage", "find", "roots"]

MAIN = "main.py"


class Usage(click.ClickException):
    """Say in one line what is wrong with the command line; the exit code is 2."""

    exit_code = 2


def roots(modules: str | None) -> list[Path]:
    """
    List the folders that module names are looked up in.

    Args:
        modules: the value of ``--modules``. None stands for ``PARCS_MODULES`` of the environment or, without it,
            for the current folder and the one that holds it.
    """
    if modules:
        return [Path(os.path.abspath(modules))]
    if os.environ.get("PARCS_MODULES"):
        return module_folders()
    return [Path.cwd(), Path.cwd().parent]


def find(name: str, folders: Sequence[Path]) -> Path:
    """
    Find a module's folder.

    Args:
        name: a module's name, a folder with a ``main.py``, or that file itself.
        folders: where names are looked up, see `roots`.

    Raises:
        Usage: there is no such module; the message lists those that there are.
    """
    is_name = os.sep not in name and name not in (os.curdir, os.pardir)
    there = find_modules(folders)
    if is_name and name in there:
        return there[name]
    path = Path(os.path.abspath(name))
    if path.name == MAIN and path.is_file():
        return path.parent
    if (path / MAIN).is_file():
        return path
    if path.is_dir():
        raise Usage(f"{name} is not a module: it has no {MAIN}")
    if not is_name:
        raise Usage(f"there is no folder {name}")
    raise Usage(f"there is no module {name!r} in {_listed(folders, ' or ')}; {_instead(there)}")


def _instead(there: Iterable[str]) -> str:
    names = ", ".join(sorted(there))
    if names:
        return f"found there: {names}"
    return f"a module is a folder with a {MAIN}; name the folder that holds them with --modules"


def _listed(folders: Sequence[Path], separator: str) -> str:
    return separator.join(_short(folder) for folder in folders)


def _short(folder: Path) -> str:
    relative = os.path.relpath(folder)
    return "this folder" if relative == os.curdir else str(folder) if relative.startswith("..") else relative
