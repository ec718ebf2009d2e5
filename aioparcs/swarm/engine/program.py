"""The runner's own program in containers: the command and the variables of workers that find its functions there."""

from __future__ import annotations

import json
import os
from typing import NamedTuple

from aioparcs.errors import SettingError
from aioparcs.modules.program import program_arguments, program_folder, program_path
from aioparcs.qualname import MAIN, QualifiedName

__all__ = ["ContainerProgram", "container_program"]


class ContainerProgram(NamedTuple):
    """
    What containers of the program's image run to be launchers of a function or a class in it.

    Attributes:
        command: their command, in the image's own folder; the image's own if empty.
        variables: what their environment has besides the engine's.
    """

    command: tuple[str, ...] = ()
    variables: tuple[tuple[str, str], ...] = ()


def container_program(target: str) -> ContainerProgram:
    """
    Return what finds a function or a class of this program in a container.

    Raises:
        StartError: it is in the ``__main__`` of a program that a worker can't run.
        SettingError: ``PARCS_PROGRAM_VARIABLES`` is not a JSON list of names.
    """
    place = QualifiedName.parse(target)
    variables = {"PARCS_TARGET": target, **_given_variables()}
    if place.module == MAIN:
        _, arguments = program_arguments(place)
        # An image runs its main.py by itself, perhaps in a way of its own.
        command = () if arguments == ("main.py",) else ("python", *arguments)
    else:
        folder = program_folder()
        variables["PARCS_PATH"] = json.dumps(program_path(folder) if folder else [])
        command = ("python", "-m", "aioparcs.service")
    return ContainerProgram(command, tuple(variables.items()))


def _given_variables() -> dict[str, str]:
    """Return the variables that the user of ``aioparcs run`` has set by ``-e``: the program may read them."""
    text = os.environ.get("PARCS_PROGRAM_VARIABLES", "[]")
    try:
        names = json.loads(text)
    except ValueError:
        names = None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise SettingError(f"PARCS_PROGRAM_VARIABLES={text!r} is not a JSON list of names")
    return {name: os.environ[name] for name in names if name in os.environ}
