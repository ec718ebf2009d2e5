"""The names of the files and folders that ``--send`` and ``--fetch`` of a command line give."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import NamedTuple

from aioparcs.errors import SettingError

__all__ = ["FileNames"]


class FileNames(NamedTuple):
    """
    The names of what a runner reads and of what it writes, relative to its current folder.

    Attributes:
        send: what it reads.
        fetch: what it writes.
    """

    send: tuple[str, ...] = ()
    fetch: tuple[str, ...] = ()

    @classmethod
    def make(cls, send: Iterable[str], fetch: Iterable[str], record: str = "") -> FileNames:
        """
        Return the names for a user's paths; what ``--record`` gives is fetched too.

        Raises:
            SettingError: a path is not inside of the current folder.
        """
        recording = _names("--record", [record] if record else [])
        return cls(_names("--send", send), tuple(dict.fromkeys((*_names("--fetch", fetch), *recording))))

    @property
    def options(self) -> list[str]:
        """The options of a command line with these names."""
        return [*(f"--send={name}" for name in self.send), *(f"--fetch={name}" for name in self.fetch)]


def _names(option: str, paths: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(_name(option, path) for path in paths))


def _name(option: str, path: str) -> str:
    if not path or "\0" in path:
        raise SettingError(f"{option} {path!r} is not a path")
    name = os.path.relpath(os.path.abspath(path))
    if name == os.curdir:
        raise SettingError(f"{option} {path} is the current folder; name files and folders in it")
    if name == os.pardir or name.startswith(os.pardir + os.sep):
        advice = "; make a symbolic link to it here" if option == "--send" else ""
        raise SettingError(f"{option} {path} is not in the current folder{advice}")
    return name
