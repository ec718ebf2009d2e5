"""The paths of Unix sockets, of which the kernel takes some hundred bytes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["short_path"]


@contextmanager
def short_path(path: Path) -> Iterator[str]:
    """
    Provide a path that is short enough to bind or connect a socket to, while the block runs.

    Args:
        path: the path, of any length; its name alone has to be short.

    Raises:
        OSError: its folder can't be opened.
    """
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
