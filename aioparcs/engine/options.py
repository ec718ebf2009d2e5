"""The options of workers as users write them, checked before anything starts."""

from __future__ import annotations

import operator
import os
from collections.abc import Mapping
from typing import Any

from aioparcs.errors import SettingError
from aioparcs.settings import parse_size

__all__ = [
    "read_cpus",
    "read_env",
    "read_gpus",
    "read_memory",
    "read_module",
    "read_per_container",
    "whole_number",
]

# More than any machine has, and less than what the kernel's and Docker's numbers can hold.
_MOST_CPUS, _MOST_MEMORY, _MOST_GPUS = 1_000_000, 2**63 - 1, 1_000_000
# The beginnings and ends of a folder's path, as opposed to a module's name or an image reference.
_PATHS = ("./", "../", "/", "~")


def whole_number(name: str, value: Any, least: int, most: int | None = None) -> int:
    """
    Return a user's number as an int; NumPy's integers are accepted too.

    Raises:
        TypeError: it is not an integer.
        ValueError: it is too small, or too large.
    """
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name}={value!r}: it must be a whole number, at least {least}") from None
    if number < least:
        raise ValueError(f"{name}={value!r}: it must be a whole number, at least {least}")
    if most is not None and number > most:
        raise ValueError(f"{name}={value!r}: it must be at most {most}")
    return number


def read_module(value: Any) -> tuple[str, str]:
    """
    Return a module's name, and the folder that it is in if the user wrote a path, else "".

    Raises:
        TypeError: it is neither a text nor a path, for example a function.
    """
    if isinstance(value, os.PathLike):
        path = os.fsdecode(value)
    elif not isinstance(value, str):
        raise TypeError(_not_a_module(value))
    elif value.startswith(_PATHS) or value.endswith("/"):
        path = value
    else:
        return value, ""
    folder = os.path.abspath(os.path.expanduser(path))
    return os.path.basename(folder) or folder, folder


def _not_a_module(value: Any) -> str:
    name = getattr(value, "__name__", None)
    if not callable(value) or not isinstance(name, str):
        return f"module={value!r}: it must be a module's name, a text such as 'factor', or a path to its folder"
    name = "it" if name == "<lambda>" else name
    return (
        f"functions and classes are not sent to workers: put {name} into the main.py of a folder, with serve({name}) "
        "at its end, and give the folder's name instead"
    )


def read_memory(value: Any) -> int | None:
    """
    Return a size of memory in bytes.

    Raises:
        SettingError: it is none.
    """
    if value is None:
        return None
    try:
        size = parse_size(value) if isinstance(value, str) else operator.index(value)
    except (TypeError, ValueError, OverflowError):
        size = 0
    if not 0 < size <= _MOST_MEMORY:
        raise SettingError(f"memory={value!r} is not a size in bytes, such as 536870912 or '512m'")
    return size


def read_cpus(value: Any) -> float | None:
    """
    Return a number of CPUs.

    Raises:
        SettingError: it is none.
    """
    if value is None:
        return None
    try:
        number = float(value) if not isinstance(value, str) else 0.0
    except (TypeError, ValueError, OverflowError):
        number = 0.0
    if not 0 < number <= _MOST_CPUS:
        raise SettingError(f"cpus={value!r} is not a number of CPUs, such as 2 or 0.5")
    return number


def read_gpus(value: Any) -> int:
    """
    Return a number of GPUs, 0 for None.

    Raises:
        SettingError: it is none.
    """
    return _setting("gpus", value, 0, _MOST_GPUS) if value is not None else 0


def read_per_container(value: Any) -> int:
    """
    Return how many workers share a container: 1 for None, 0 for ``"auto"``.

    Raises:
        SettingError: it is neither a number of workers nor ``"auto"``.
    """
    if value is None:
        return 1
    if isinstance(value, str):
        if value == "auto":
            return 0
        raise SettingError(f"per_container={value!r}: it must be a whole number, at least 1, or 'auto'")
    return _setting("per_container", value, 1, None)


def read_env(value: Any) -> dict[str, str]:
    """
    Return the variables of an environment.

    Raises:
        SettingError: it is no mapping, or a name or a value can't be in an environment.
    """
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise SettingError(f"env={value!r}: it must be a dict of names and values, both text")
    for name, text in value.items():
        if not _fits(name) or not name or "=" in name or not _fits(text):
            raise SettingError(f"env={{{name!r}: {text!r}}}: names and values must be text, names without '='")
    return dict(value)


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
