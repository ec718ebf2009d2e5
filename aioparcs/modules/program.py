"""The runner's own program, as its workers run it again, or import a module of it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import NamedTuple

from aioparcs.errors import StartError
from aioparcs.modules.find import running_program
from aioparcs.qualname import MAIN, START_FOLDER, Finding, QualifiedName, finding

__all__ = ["Command", "command_for", "program_arguments", "program_folder", "program_path"]

# By its file: the program may have found aioparcs on a path that only it knows.
_IMPORTER = os.path.join(os.path.dirname(os.path.dirname(__file__)), "service", "__main__.py")


class Command(NamedTuple):
    """
    The command of a launcher.

    Attributes:
        arguments: the interpreter's arguments.
        folder: where it runs.
        variables: what its environment has besides that of the program, and of the engine.
    """

    arguments: tuple[str, ...]
    folder: Path
    variables: tuple[tuple[str, str], ...] = ()


def command_for(target: str) -> Command:
    """
    Return the command of a launcher on this machine that finds a function or class of this program.

    Raises:
        StartError: it is in the ``__main__`` of a program that a worker can't run.
    """
    place = QualifiedName.parse(target)
    variables = [("PARCS_TARGET", target)]
    if place.module == MAIN:
        folder, arguments = program_arguments(place)
        if not arguments[0].startswith("-"):
            arguments = (os.path.join(folder, arguments[0]), *arguments[1:])
    else:
        arguments = (_IMPORTER,)
        import json  # most programs have their functions in main.py

        variables.append(("PARCS_PATH", json.dumps(_search_path())))
    return Command(arguments, Path(START_FOLDER), tuple(variables))


def program_arguments(place: QualifiedName) -> tuple[str, tuple[str, ...]]:
    """
    Return the folder that holds this program, and the interpreter's arguments that run it again.

    Raises:
        StartError: a worker can't run it.
    """
    main = sys.modules[MAIN]
    file, spec = getattr(main, "__file__", None), getattr(main, "__spec__", None)
    if file is None or finding() is not Finding.ALL:
        raise StartError(place.name, "it is in a program that doesn't end in run(main), which a worker can't run")
    folder, name = os.path.split(os.path.join(START_FOLDER, file))
    if spec is None:
        return folder, (name, *sys.argv[1:])
    if spec.name == MAIN:  # a folder, or an archive, that holds a __main__.py
        return os.path.dirname(folder), (os.path.basename(folder), *sys.argv[1:])
    for _ in range(spec.name.count(".")):
        folder = os.path.dirname(folder)
    return folder, ("-m", spec.name.removesuffix(f".{MAIN}"), *sys.argv[1:])


def program_folder() -> str | None:
    """Return the folder that holds the program's own modules, or None if it has no file of its own."""
    file, spec = running_program(), getattr(sys.modules[MAIN], "__spec__", None)
    if file is None:
        return None
    inner = spec.name.count(".") if spec and spec.name != MAIN else 0
    return str(file.parents[inner])


def program_path(folder: str) -> list[str]:
    """Return the folders of ``sys.path`` that are inside of a folder, relative to it."""
    inside = [os.path.relpath(entry, folder) for entry in _search_path() if Path(entry).is_relative_to(folder)]
    return [entry for entry in inside if os.path.isdir(os.path.join(folder, entry))]


def _search_path() -> list[str]:
    return [os.path.join(START_FOLDER, entry) for entry in sys.path]
