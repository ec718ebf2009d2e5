"""Which files of code a launcher has loaded, for an engine that wants to know when they have changed."""

from __future__ import annotations

import os
import sys
import sysconfig

__all__ = ["module_file", "report_sources"]

_VARIABLE = "PARCS_SOURCES_FD"


def report_sources() -> None:
    """Write down the files that this program has loaded, without those of installed packages, if anybody asks."""
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
    paths = sysconfig.get_paths()
    folders = [paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    installed = tuple(os.path.join(folder, "") for folder in (*folders, os.path.dirname(os.path.dirname(__file__))))
    files = {module_file(module) for module in list(sys.modules.values())}
    return [
        path
        for path in files
        if isinstance(path, str)
        and not path.startswith(installed)
        and not {"site-packages", "dist-packages"}.intersection(path.split(os.sep))
    ]


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
