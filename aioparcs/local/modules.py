"""Where modules are."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path

from aioparcs.errors import StartError

__all__ = ["find_module", "find_modules", "module_folders"]


def module_folders() -> list[Path]:
    """
    Tell where modules are looked for: the folders in ``PARCS_MODULES``, else beside the running module's folder.

    A program without a file, such as a notebook, looks in the current folder.
    """
    named = os.environ.get("PARCS_MODULES")
    if named:
        return [Path(folder).resolve() for folder in named.split(os.pathsep)]
    main = getattr(sys.modules.get("__main__"), "__file__", None)
    return [Path(main).resolve().parent.parent if main else Path.cwd()]


def find_modules(folders: Iterable[Path]) -> dict[str, Path]:
    """Find the modules of some folders: folders with a ``main.py``, by name; the first of a name counts."""
    found: dict[str, Path] = {}
    for folder in folders:
        for main in sorted(folder.glob("*/main.py")):
            found.setdefault(main.parent.name, main.parent)
    return found


def find_module(name: str, folders: list[Path], folder: str = "") -> Path:
    """
    Find one module.

    Args:
        name: what it is called.
        folders: the folders that hold modules.
        folder: where it is, if its user has said so.

    Raises:
        StartError: it is not there; lists the modules that there are.
    """
    if folder:
        if not os.path.isfile(os.path.join(folder, "main.py")):
            raise StartError(name, f"there is no main.py in {folder}")
        return Path(folder)
    if "/" in name or ":" in name:
        raise StartError(
            name,
            "that is an image's name, and only the swarm engine runs images; a path to a module's folder begins with "
            f"./ or / (./{name})",
        )
    for parent in folders:
        if name not in ("", ".", "..") and (parent / name / "main.py").is_file():
            return parent / name
    where, found = ", ".join(map(str, folders)), find_modules(folders)
    others = f"there are: {', '.join(sorted(found))}" if found else "there are none"
    raise StartError(name, f"no module of that name (a folder with main.py) in {where}; {others}")
