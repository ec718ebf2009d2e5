"""The search for modules in folders."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path

from aioparcs.errors import StartError
from aioparcs.launcher.sources import is_installed

__all__ = ["find_module", "find_modules", "module_folders", "running_program"]


def module_folders() -> list[Path]:
    """
    Return the folders that are searched for modules.

    The folders in ``PARCS_MODULES``. Without it, the folder of the running program and the one above: first the one
    above if the program is a ``main.py``, which has the other modules' folders beside its own. A program without a
    file, such as a notebook, and one that is installed and runs other people's code, such as pytest, has the current
    folder and the one above.
    """
    named = os.environ.get("PARCS_MODULES")
    if named:
        return [Path(folder).resolve() for folder in named.split(os.pathsep)]
    program = running_program()
    if program is None:
        return [Path.cwd(), Path.cwd().parent]
    folders = [program.parent, program.parent.parent]
    return folders[::-1] if program.name == "main.py" else folders


def running_program() -> Path | None:
    """Return the file of the user's own program, or None."""
    main = getattr(sys.modules.get("__main__"), "__file__", None)
    if not main:
        return None
    # Profilers and the like, which are installed, say there which program they run.
    for file in (main, *sys.argv[:1]):
        path = Path(file).resolve()
        if path.is_file() and not is_installed(str(path)):
            return path
    return None


def find_modules(folders: Iterable[Path]) -> dict[str, Path]:
    """Return the modules of some folders, by name: folders with a ``main.py``; the first of a name counts."""
    found: dict[str, Path] = {}
    for folder in folders:
        for main in sorted(folder.glob("*/main.py")):
            found.setdefault(main.parent.name, main.parent)
    return found


def find_module(name: str, folders: list[Path], folder: str = "") -> Path:
    """
    Return the folder of one module.

    Args:
        name: its name.
        folders: the folders that hold modules.
        folder: its folder, if the user has named one.

    Raises:
        StartError: it is not there; the message lists the modules that are.
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
        if name not in ("", ".", "..") and os.path.isfile(parent / name / "main.py"):  # also too long a name
            return parent / name
    found = find_modules(folders)
    own = getattr(sys.modules.get("__main__"), name, None)
    from difflib import get_close_matches  # for this message only

    similar = get_close_matches(name, found, 1)
    raise StartError(
        name,
        f"there is no module of that name (a folder with main.py) in {' or '.join(map(str, folders))}; "
        + (f"did you mean {similar[0]}? " if similar else "")
        + (f"there are: {', '.join(sorted(found))}" if found else "there are no modules")
        + (f"; for the program's own {name} pass it as it is, without quotes" if callable(own) else "")
        + "; PARCS_MODULES or Runner(modules=[...]) name other folders",
    )
