"""The folder of what is made once for modules, and kept: ``$XDG_CACHE_HOME/aioparcs`` (``~/.cache/aioparcs``)."""

from __future__ import annotations

import os
from pathlib import Path

from aioparcs.errors import StartError

__all__ = ["cache_folder"]


def cache_folder(module: str) -> Path:
    """
    Return the folder.

    Args:
        module: the module that needs it, for the error.

    Raises:
        StartError: this user has none.
    """
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "aioparcs"
    except RuntimeError:
        raise StartError(
            module, "this user has no home directory to make its environment in: name a folder in XDG_CACHE_HOME"
        ) from None
