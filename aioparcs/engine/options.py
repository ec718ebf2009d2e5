"""
The options of workers: the one table of what users may choose at a start, and the specification that it becomes.

A new option is a row of `OPTIONS`, a field of `WorkerSpec`, and for users a key and a text in ``aioparcs/starter.py``.
Services, runners and the local engine take what they need from the table; what honours it reads the field.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from aioparcs.engine.numbers import memory_size, whole_number
from aioparcs.errors import SettingError, StartError
from aioparcs.qualname import START_FOLDER, QualifiedName, qualified_name

__all__ = ["OPTIONS", "Option", "WorkerSpec", "check_for_service", "read_target"]

# More than any machine has, and less than what Docker's numbers can hold.
_MOST_CPUS, _MOST_GPUS = 1_000_000, 1_000_000
# The beginnings and ends of a folder's path, as opposed to a module's name or an image reference.
_PATHS = ("./", "../", "/", "~")


class WorkerSpec(NamedTuple):
    """
    The program of a worker, and the limits of what it may use.

    Attributes:
        module: a module's name, or an image reference (with ``/`` or ``:``); for a function or a Service class of the
            runner's own program its name there.
        env: what its environment has besides the engine's.
        cpus: CPUs that one worker may keep busy, None for any number.
        memory: bytes that one worker may use, None for any number.
        gpus: GPUs that one worker gets.
        wire: ``v2``, or ``v1`` for a service of the original PARCS.
        per_container: how many workers share a container, where there are containers; 0 for as many as leave one
            container to each node.
        swarm: what the swarm engine adds to Docker's own specification; other engines ignore it.
        parent: the number of the worker that starts it, -1 for the runner.
        folder: the module's folder, when its user has named that; "" when the engine finds the module by its name.
        together: how many workers share the CPUs with this one and are started before or after it, as in a pool; 0 for
            those of the same request.
        target: where the function or class is in the runner's own program, see `QualifiedName`; None for a module with
            a folder or an image of its own.
        files: the names of files and folders in the runner's folder that its current folder has, too.
    """

    module: str
    env: Mapping[str, str] = {}
    cpus: float | None = None
    memory: int | None = None
    gpus: int = 0
    wire: str = "v2"
    per_container: int = 1
    swarm: Mapping[str, Any] = {}
    parent: int = -1
    folder: str = ""
    together: int = 0
    target: str | None = None
    files: tuple[str, ...] = ()

    @property
    def limits(self) -> dict[str, float | int]:
        """The limits that a launcher sets on each worker."""
        return {name: value for name in _LIMITS if (value := getattr(self, name))}

    @property
    def request(self) -> dict[str, Any]:
        """The options as a service sends them to its runner, which makes the same specification of them."""
        found = {name: value for name in _OF_SERVICES if (value := getattr(self, name)) is not None}
        own = {name: value for name in ("target", "together") if (value := getattr(self, name))}
        return {**found, "per_container": self.per_container or "auto", **own}

    @classmethod
    def make(cls, module: Any, *, parent: int = -1, **options: Any) -> WorkerSpec:
        """
        Return the specification for one of a user's arguments.

        Args:
            module: a module's name, an image, a path, or a function or class.
            parent: the number of the worker that starts it, -1 for the runner.
            **options: options of the table; None is an option's default.

        Raises:
            TypeError: the module is none of these, or workers can't find the function or class.
            SettingError: an option has an impossible value.
        """
        values = {option: OPTIONS[option].read(value) for option, value in options.items() if value is not None}
        if _is_target(module):
            place = qualified_name(module)
            name, folder, values["target"] = place.name, "", str(place)
        else:
            name, folder = _read_module(module)
        spec = cls(name, parent=parent, folder=folder, **values)
        if spec.files and spec.wire == "v1":
            raise SettingError("files=: a service of the original PARCS has no launcher that could take them")
        if spec.target and spec.wire == "v1":
            raise SettingError(f'wire="v1": {name} is no service of the original PARCS; start such a one by its module')
        return spec


class Option(NamedTuple):
    """
    An option of a start.

    Attributes:
        name: its name, which is also its field's in `WorkerSpec`.
        read: returns the value of the field for a user's argument, or raises a `SettingError`.
        types: the types that it may have in a service's request; none for an option that only a runner may choose.
        is_limit: whether launchers limit each worker to it.
        label: how messages name it, ``name=`` unless something else is given.
    """

    name: str
    read: Callable[[Any], Any]
    types: tuple[type, ...] = ()
    is_limit: bool = False
    label: str = ""


def _is_target(value: Any) -> bool:
    """Return True for a function or a class, or the coroutine of a function that was called by mistake."""
    return callable(value) or inspect.iscoroutine(value)


def _read_module(value: Any) -> tuple[str, str]:
    """
    Return a module's name, and the folder that it is in if the user wrote a path, else "".

    Raises:
        TypeError: it is neither a text nor a path.
        SettingError: the text is empty.
    """
    if isinstance(value, str) and not value.strip():
        raise SettingError(f"module={value!r}: the module's name is missing, a text such as 'factor'")
    if isinstance(value, os.PathLike):
        path = os.fsdecode(value)
    elif not isinstance(value, str):
        raise TypeError(
            f"module={value!r}: it must be a function or a Service class, a module's name, a text such as 'factor', or "
            "a path to its folder"
        )
    elif value.startswith(_PATHS) or value.endswith("/"):
        path = value
    else:
        return value, ""
    folder = os.path.abspath(os.path.expanduser(path))
    return os.path.basename(folder) or folder, folder


def read_target(value: Any) -> str:
    """
    Return the place of a function or class, as a service sends it.

    Raises:
        SettingError: it is none.
    """
    try:
        return str(QualifiedName.parse(value))
    except (TypeError, AttributeError, ValueError):
        raise SettingError(f"target={value!r:.200} is not MODULE:NAME") from None


def _read_memory(value: Any) -> int:
    """Return what each worker may use, in bytes; see `memory_size`."""
    return memory_size("memory", value)


def _read_cpus(value: Any) -> float:
    """
    Return a number of CPUs.

    Raises:
        SettingError: it is none.
    """
    try:
        number = float(value) if not isinstance(value, str) else 0.0
    except (TypeError, ValueError, OverflowError):
        number = 0.0
    if not 0 < number <= _MOST_CPUS:
        raise SettingError(f"cpus={value!r} is not a number of CPUs, such as 2 or 0.5")
    return number


def _read_gpus(value: Any) -> int:
    """
    Return a number of GPUs.

    Raises:
        SettingError: it is none.
    """
    return _setting("gpus", value, 0, _MOST_GPUS)


def _read_per_container(value: Any) -> int:
    """
    Return how many workers share a container, 0 for ``"auto"``.

    Raises:
        SettingError: it is neither a number of workers nor ``"auto"``.
    """
    if isinstance(value, str):
        if value == "auto":
            return 0
        raise SettingError(f"per_container={value!r}: it must be a whole number, at least 1, or 'auto'")
    return _setting("per_container", value, 1, None)


def _read_env(value: Any) -> dict[str, str]:
    """
    Return the variables of an environment.

    Raises:
        SettingError: it is no mapping, or a name or a value can't be in an environment.
    """
    if not isinstance(value, Mapping):
        raise SettingError(f"env={value!r}: it must be a dict of names and values, both text")
    for name, text in value.items():
        if not _fits(name) or not name or "=" in name or not _fits(text):
            raise SettingError(f"env={{{name!r}: {text!r}}}: names and values must be text, names without '='")
    return dict(value)


def _read_wire(value: Any) -> str:
    """
    Return a version of the wire.

    Raises:
        SettingError: there is no such version.
    """
    if value not in ("v1", "v2"):
        raise SettingError(f"wire={value!r}: choose 'v2', or 'v1' for services of the original PARCS")
    return str(value)


def _read_swarm(value: Any) -> Mapping[str, Any]:
    """
    Return the options that only a Swarm has; the swarm engine checks each.

    Raises:
        SettingError: it is no mapping of names.
    """
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        raise SettingError(f"swarm={value!r}: it must be a dict of options, with their names as its keys")
    return value


def _read_files(value: Any) -> tuple[str, ...]:
    """
    Return the names of files and folders.

    Raises:
        SettingError: it is no list of paths, or one is not inside of the folder where the program was started.
    """
    if not isinstance(value, list | tuple) or not all(isinstance(path, str | os.PathLike) for path in value):
        raise SettingError(f"files={value!r}: it must be a list of files and folders, such as ['data']")
    from aioparcs.files.names import names_in_folder  # few workers have files

    return names_in_folder(map(os.fsdecode, value), "files:", START_FOLDER)


def _fits(text: Any) -> bool:
    """Return True for text that an environment can hold."""
    try:
        return isinstance(text, str) and b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:
        return False


def _setting(name: str, value: Any, least: int, most: int | None) -> int:
    try:
        return whole_number(name, value, least, most)
    except (TypeError, ValueError) as error:
        raise SettingError(str(error)) from None


OPTIONS: Mapping[str, Option] = {
    option.name: option
    for option in (
        Option("env", _read_env, (dict,)),
        Option("cpus", _read_cpus, (int, float), is_limit=True),
        Option("memory", _read_memory, (int, str), is_limit=True),
        Option("gpus", _read_gpus, (int,), is_limit=True),
        Option("per_container", _read_per_container, (int, str)),
        Option("wire", _read_wire, label='wire="v1"'),
        Option("files", _read_files),
        Option("swarm", _read_swarm),
    )
}
"""All options, by their names. Services may choose those that mean the same on every engine."""

_LIMITS = tuple(name for name, option in OPTIONS.items() if option.is_limit)
_OF_SERVICES = tuple(name for name, option in OPTIONS.items() if option.types)
_OF_RUNNERS = tuple(option for option in OPTIONS.values() if not option.types)


def check_for_service(spec: WorkerSpec) -> None:
    """
    Raise an error for what only a runner may choose.

    Raises:
        StartError: an option, or a path in place of a module's name, is none of a service's.
    """
    default = WorkerSpec(spec.module)
    chosen = [
        option.label or f"{option.name}="
        for option in _OF_RUNNERS
        if getattr(spec, option.name) != getattr(default, option.name)
    ]
    if spec.folder:
        chosen.append("a path as a module's name")
    if chosen:
        raise StartError(spec.module, f"{chosen[0]} can only be set by its runner, not by a service")
