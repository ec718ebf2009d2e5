"""
The packages that modules share, as Python finds them on this machine: folders that hold a link to each of a module's.

A link leads to one package. To search the folder that holds the package itself would find all that is beside it, too,
which on a Swarm is not there.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

from aioparcs.errors import StartError
from aioparcs.local.cache import cache_folder
from aioparcs.modules.includes import read_includes
from aioparcs.transport import os_reason

__all__ = ["include_folder", "include_variables"]


def include_folder(folder: Path) -> str:
    """
    Return the folder where Python finds what a module shares, "" if that is nothing.

    Raises:
        StartError: something can't go along, see `read_includes`, or the folder can't be made.
    """
    links = {name: os.path.realpath(path) for name, path in read_includes(folder).items()}
    if not links:
        return ""
    key = hashlib.sha256(repr(sorted(links.items())).encode(errors="surrogateescape")).hexdigest()[:16]
    place = cache_folder(folder.name) / "include" / key
    try:
        _link(place, links)
    except OSError as error:
        raise StartError(folder.name, f"can't link its shared packages in {place}: {os_reason(error)}") from error
    return str(place)


def include_variables(folder: Path, env: Mapping[str, str]) -> dict[str, str]:
    """
    Return the variables by which a module's launcher finds what the module shares.

    Args:
        folder: the module.
        env: the variables that its user has set, besides those of this process.

    Raises:
        StartError: see `include_folder`.
    """
    place = include_folder(folder)
    if not place:
        return {}
    before = env.get("PYTHONPATH", os.environ.get("PYTHONPATH", ""))
    return {"PYTHONPATH": os.pathsep.join(filter(None, (place, before)))}


def _link(place: Path, links: Mapping[str, str]) -> None:
    """Create what is missing of a folder of links; other processes may do the same at the same time."""
    place.mkdir(parents=True, exist_ok=True)
    for name, target in links.items():
        try:
            (place / name).symlink_to(target)
        except FileExistsError:
            pass  # it leads there: the folder's name is a hash of its links
