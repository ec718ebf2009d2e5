"""The kinds of modules, as far as their text shows them: services, and programs."""

from __future__ import annotations

import re
from pathlib import Path

__all__ = ["is_service", "serves"]

_SERVES, _RUNS = (re.compile(rb"^\s*(aioparcs\.)?%s\(" % name, re.MULTILINE) for name in (b"serve", b"run"))


def serves(folder: Path) -> bool:
    """Return True if a module's ``main.py`` calls ``serve``."""
    return bool(_SERVES.search((folder / "main.py").read_bytes()))


def is_service(folder: Path) -> bool:
    """Return True if a module is for workers only; False in doubt, and where its text can't be read."""
    try:
        return serves(folder) and not _RUNS.search((folder / "main.py").read_bytes())
    except OSError:
        return False
