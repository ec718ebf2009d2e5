"""Where modules are, and what they need."""

from __future__ import annotations

import os
import re
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path

from aioparcs.errors import StartError

__all__ = ["find_module", "find_modules", "module_folders", "requirements"]

# The block of inline script metadata that PEP 723 defines.
_SCRIPT = re.compile(r"(?m)^# /// script$\s(?P<content>(^#(| .*)$\s)+)^# ///$")


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


def find_module(name: str, folders: list[Path]) -> Path:
    """
    Find one module.

    Raises:
        StartError: there is none of that name; it lists those that there are.
    """
    if "/" in name or ":" in name:
        raise StartError(name, "that names an image, and the local engine runs folders: it needs the swarm engine")
    found = find_modules(folders)
    if name in found:
        return found[name]
    where = ", ".join(map(str, folders))
    others = f"there are: {', '.join(sorted(found))}" if found else "there are none"
    raise StartError(name, f"no module of that name (a folder with main.py) in {where}; {others}")


def requirements(folder: Path) -> list[str]:
    """
    Read what a module needs: ``requirements.txt``, or the PEP 723 block of its ``main.py``.

    Raises:
        StartError: the block can't be read.
    """
    listed = folder / "requirements.txt"
    if listed.exists():
        lines = [line.split(" #")[0].strip() for line in listed.read_text().splitlines()]
        return [line for line in lines if line and not line.startswith("#")]
    block = _SCRIPT.search((folder / "main.py").read_text())
    if block is None:
        return []
    text = "\n".join(line.removeprefix("#").removeprefix(" ") for line in block["content"].splitlines())
    try:
        return [str(line) for line in tomllib.loads(text).get("dependencies", [])]
    except tomllib.TOMLDecodeError as error:
        raise StartError(folder.name, f"the script metadata in its main.py can't be read: {error}") from error
