"""The user's files of code that a launcher has loaded, reported so that an engine notices when they change."""

from __future__ import annotations

import os
import site
import sys
import sysconfig
from functools import cache

__all__ = ["is_installed", "module_file", "report_sources"]

_VARIABLE = "PARCS_SOURCES_FD"


def report_sources() -> None:
    """Report the loaded files, without installed packages, to an engine that has requested the list."""
    descriptor = os.environ.pop(_VARIABLE, None)
    if descriptor is None:
        return
    lines = (
        b"%d %d %d %s" % (status.st_mtime_ns, status.st_size, status.st_ino, os.fsencode(path))
        for path in _loaded()
        if (status := _stat(path))
    )
    with open(int(descriptor), "wb") as report:
        report.write(b"\0".join(lines) + b"\0\0")  # which marks its end, also of no lines


def _loaded() -> list[str]:
    files = {module_file(module) for module in list(sys.modules.values())}
    return [path for path in files if isinstance(path, str) and not is_installed(path)]


def is_installed(file: str) -> bool:
    """Return True for a file of Python, of a package or of aioparcs: all others are the user's code."""
    return file.startswith(_installed()) or not {"site-packages", "dist-packages"}.isdisjoint(file.split(os.sep))


@cache
def _installed() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    folders = {paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib", "scripts")}
    folders |= {os.path.join(base, "bin") for base in (sys.prefix, sys.base_prefix, site.getuserbase())}
    folders |= {os.path.realpath(folder) for folder in folders} | {os.path.dirname(os.path.dirname(__file__))}
    return tuple(os.path.join(folder, "") for folder in folders)


def module_file(module: object) -> object:
    """Return a module's ``__file__``, without loading it if it is a lazy one; anything may be in ``sys.modules``."""
    try:
        return object.__getattribute__(module, "__dict__").get("__file__")
    except AttributeError:
        return None


def _stat(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)
    except OSError:
        return None
