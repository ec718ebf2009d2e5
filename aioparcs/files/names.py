"""The names of the files and folders that ``--send`` and ``--fetch`` of a command line give."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import NamedTuple

from aioparcs.errors import SettingError

__all__ = ["FileNames", "names_in_folder"]


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
        recording = names_in_folder([record] if record else [], "--record")
        fetched = (*names_in_folder(fetch, "--fetch"), *recording)
        return cls(names_in_folder(send, "--send"), tuple(dict.fromkeys(fetched)))

    @property
    def options(self) -> list[str]:
        """The options of a command line with these names."""
        return [*(f"--send={name}" for name in self.send), *(f"--fetch={name}" for name in self.fetch)]


def names_in_folder(paths: Iterable[str], option: str = "", folder: str = "") -> tuple[str, ...]:
    """
    Return the names of files and folders in a folder, each once.

    Args:
        paths: what a user has written.
        option: the option that has them, for errors; "" for arguments.
        folder: the folder that they are in, by default the current one.

    Raises:
        SettingError: a path is not inside of that folder.
    """
    folder = folder or os.getcwd()
    return tuple(dict.fromkeys(_name(option, path, folder) for path in paths))


def _name(option: str, path: str, folder: str) -> str:
    given = f"{option} {path}".lstrip()
    if not path or "\0" in path:
        raise SettingError(f"{option} {path!r} is not a path".lstrip())
    name = os.path.relpath(os.path.join(folder, path), folder)
    if name == os.curdir:
        raise SettingError(f"{given} is the current folder; name files and folders in it")
    if name == os.pardir or name.startswith(os.pardir + os.sep):
        advice = "; make a symbolic link to it here" if option in ("--send", "files:") else ""
        raise SettingError(f"{given} is not in the current folder{advice}")
    return name
