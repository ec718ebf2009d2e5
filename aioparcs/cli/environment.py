"""The environment of a runner that requires packages: made like those of services, and entered by this process."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

from aioparcs.events import EventBus

__all__ = ["enter", "interpreter", "needs_another"]


def needs_another(folder: Path) -> bool:
    """
    Return True if a runner requires packages that are not here. An image has all that its runner requires.

    Raises:
        StartError: what it requires can't be read.
    """
    if os.environ.pop("PARCS_ENVIRONMENT", None) or "PARCS_IMAGES" in os.environ:
        return False
    from aioparcs.modules.requirements import read_requirements

    return not _are_here(read_requirements(folder).names)


def interpreter(folder: Path, events: EventBus) -> str:
    """
    Return the Python of a runner's environment, which is made if it isn't there yet.

    Raises:
        StartError: what it requires can't be installed.
    """
    from aioparcs.local.environments import Environments

    return asyncio.run(Environments().interpreter(folder, events))


def enter(python: str) -> NoReturn:
    """Run this command line again, by another Python, in place of this process."""
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(python, [python, *sys.orig_argv[1:]], {**os.environ, "PARCS_ENVIRONMENT": "1"})


def _are_here(requirements: Iterable[str]) -> bool:
    """Return True if all of the requirements are installed in this process's environment; False in doubt."""
    requirement = None
    for text in requirements:
        requirement = requirement or _requirement_class()
        if requirement is None or not _is_here(requirement, text):
            return False
    return True


def _is_here(requirement: Any, text: str) -> bool:
    from importlib.metadata import PackageNotFoundError, version  # few runners have requirements

    try:
        needed = requirement(text)
        if needed.marker and not needed.marker.evaluate():
            return True
        return not (needed.url or needed.extras) and needed.specifier.contains(version(needed.name), prereleases=True)
    except (ValueError, PackageNotFoundError):  # a file, an option of pip; or it isn't installed
        return False


def _requirement_class() -> Any:
    for module in ("packaging.requirements", "pip._vendor.packaging.requirements"):
        try:
            return import_module(module).Requirement
        except ImportError:
            pass
    return None
