"""Concurrent builds of several modules."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from aiodocker import Docker

from aioparcs.build.dockerfile import DOCKERFILE, bases
from aioparcs.build.image import BuiltImage, build
from aioparcs.errors import StartError
from aioparcs.modules.images import image_name
from aioparcs.modules.requirements import read_requirements

__all__ = ["start_builds"]

_AT_ONCE = 4  # builds: each keeps a core of the leader busy, and over ssh each request is a process there

_Builds = list[asyncio.Task[BuiltImage]]


def start_builds(group: asyncio.TaskGroup, docker: Docker, folders: Sequence[Path], *, push: bool = False) -> _Builds:
    """
    Start building modules, a few at a time, and return the builds in the order of the folders; see `build`.

    A module waits for those before it whose image its Dockerfile begins with, and for the first one with the same
    packages: they are installed once, and are one layer for all nodes to pull.

    Args:
        group: the builds run in it, so that one that fails cancels the others.
        docker: an open client of the leader.
        folders: the modules, with different names.
        push: whether their images go to the registry.
    """
    room = asyncio.Semaphore(_AT_ONCE)
    sources: dict[str, asyncio.Task[BuiltImage]] = {}  # the first build of each image and of each set of packages
    builds = []
    for folder in folders:
        images, packages = _needs(folder)
        before = [sources[name] for name in (*images, packages) if name in sources]
        builds.append(group.create_task(_build(docker, folder, before, room, push=push)))
        sources[image_name(folder.name)] = builds[-1]
        if packages:
            sources.setdefault(packages, builds[-1])
    return builds


async def _build(docker: Docker, folder: Path, before: _Builds, room: asyncio.Semaphore, *, push: bool) -> BuiltImage:
    if before:
        await asyncio.wait(before)
    async with room:
        return await build(docker, folder, push=push)


def _needs(folder: Path) -> tuple[tuple[str, ...], str]:
    """Return the images that a module's own Dockerfile begins with; for a module without one, its requirements."""
    try:
        if (folder / DOCKERFILE).is_file():
            return tuple(map(_untagged, bases((folder / DOCKERFILE).read_text(encoding="utf-8-sig")))), ""
        return (), read_requirements(folder, python=None).content
    except (OSError, StartError, UnicodeDecodeError):
        return (), ""  # its build reports the error


def _untagged(image: str) -> str:
    """Return an image's name without its digest and tag; the colon of a registry's port stays."""
    name = image.partition("@")[0]
    before, colon, after = name.rpartition(":")
    return before if colon and "/" not in after else name
