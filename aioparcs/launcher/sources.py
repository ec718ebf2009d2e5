"""The user's files of code that a launcher has loaded, reported so that an engine notices when they change."""

from __future__ import annotations

import os
import site
import sys
from functools import cache
from importlib.util import find_spec

__all__ = ["is_installed", "is_own_module", "loaded_files", "module_file", "report_sources"]

_VARIABLE = "PARCS_SOURCES_FD"


def report_sources() -> None:
    """Report the loaded files, without installed packages, to an engine that has requested the list."""
    descriptor = os.environ.pop(_VARIABLE, None)
    if descriptor is None:
        return
    lines = (
        b"%d %d %d %s" % (status.st_mtime_ns, status.st_size, status.st_ino, os.fsencode(path))
        for path in loaded_files()
        if (status := _stat(path))
    )
    with open(int(descriptor), "wb") as report:
        report.write(b"\0".join(lines) + b"\0\0")  # which marks its end, also of no lines


def loaded_files() -> list[str]:
    """Return the user's files of code that this process has loaded."""
    files = {module_file(module) for module in list(sys.modules.values())}
    return [path for path in files if isinstance(path, str) and not is_installed(path)]


def is_installed(file: str) -> bool:
    """Return True for a file of Python, of a package or of aioparcs: all others are the user's code."""
    return file.startswith(_installed()) or not {"site-packages", "dist-packages"}.isdisjoint(file.split(os.sep))


@cache
def _installed() -> tuple[str, ...]:
    folders = {os.path.dirname(os.__file__)}
    folders |= {os.path.join(base, "bin") for base in (sys.prefix, sys.base_prefix, site.getuserbase())}
    folders |= {os.path.realpath(folder) for folder in folders} | {os.path.dirname(os.path.dirname(__file__))}
    return tuple(os.path.join(folder, "") for folder in folders)


def is_own_module(module: str) -> bool:
    """
    Return True for one of the user's own modules, False for what is installed, or isn't there.

    Nothing that is installed is imported to find that out.
    """
    parent = module.rpartition(".")[0]
    if parent and not is_own_module(parent):  # which `find_spec` would import
        return False
    return any(not is_installed(os.path.join(place, "")) for place in _places(module))


def _places(module: str) -> list[str]:
    """Return a module's file, or the folders of a package without one; nothing for a module of the interpreter's."""
    if loaded := sys.modules.get(module):
        file, folders = module_file(loaded), getattr(loaded, "__path__", ())
    else:
        spec = find_spec(module)
        file = spec.origin if spec and spec.has_location else None
        folders = spec.submodule_search_locations or () if spec else ()
    return [file] if isinstance(file, str) else list(folders)


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
