"""The images of a job's modules: from a module's name to the one image that all of its workers run."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from aioparcs.errors import ClusterError, SettingError, StartError
from aioparcs.modules.images import image_name, registry_address
from aioparcs.modules.program import program_folder
from aioparcs.swarm.docker.client import SwarmClient
from aioparcs.swarm.docker.credentials import pull_auth_header
from aioparcs.swarm.engine.source import source_tag

__all__ = ["Images", "is_reference", "read_images"]


class Images:
    """
    The images of one job: each is looked up once, so that all workers run the same one.

    A name with a ``/`` or a ``:`` is the reference of an image. Any other is a module, and never just an image of that
    name in a registry: its image is the one in ``PARCS_IMAGES``, where ``aioparcs run`` lists those that it has
    built, else the one that was built from the module's folder as it is now.

    Args:
        swarm: the leader, which asks the registries.
        folders: those that hold modules.
    """

    def __init__(self, swarm: SwarmClient, folders: Sequence[Path] = ()) -> None:
        self._swarm = swarm
        self._folders = folders
        self._named = read_images(os.environ)
        self._found: dict[tuple[str, str], asyncio.Future[str]] = {}

    async def find_program(self, name: str) -> str:
        """
        Return the image of the running program, with its digest; see `find`.

        Args:
            name: the function or class that is started from it, for errors.

        Raises:
            StartError: the image isn't known, or there is none.
        """
        image = os.environ.get("PARCS_PROGRAM_IMAGE")
        if not image:
            folder = _module_at(program_folder() or "")
            if folder is None:
                raise StartError(
                    name,
                    "a Swarm runs images, and none of this program is known: name it in PARCS_PROGRAM_IMAGE, or run "
                    "the program as the main.py of a folder, with aioparcs run FOLDER --on swarm",
                )
            return await self.find(folder.name, str(folder))
        return await self.find(image if is_reference(image) else f"{image}:latest")

    async def find(self, module: str, folder: str = "") -> str:
        """
        Return the image of a module, with its digest.

        Cancelling it leaves the look-up to others that wait for it.

        Args:
            module: the module's name, or an image's reference.
            folder: the module's folder, if the user has named one.

        Raises:
            StartError: there is no such image, or the registry can't be asked and the leader has it neither.
        """
        lookup = self._found.get((module, folder))
        if lookup is None or (lookup.done() and lookup.exception()):  # it may have been built since
            lookup = self._found[module, folder] = asyncio.ensure_future(self._find(module, folder))
        return await asyncio.shield(lookup)

    async def pin(self, image: str) -> str:
        """
        Return a reference of an image with its digest in place of its tag.

        An image that only the leader has stays as it is; tasks on nodes without it fail.

        Raises:
            ClusterError: there is no such image, or the registry can't be asked and the leader has it neither.
        """
        if "@" in image:
            return image
        try:
            # Without it every node would resolve the tag by itself, and perhaps get another image.
            digest = await self._swarm.images.digest(image, await asyncio.to_thread(pull_auth_header, image))
        except ClusterError:
            if await self._swarm.images.is_there(image):
                return image
            raise
        return f"{_without_tag(image)}@{digest}"

    async def aclose(self) -> None:
        """Cancel look-ups that are under way."""
        for lookup in self._found.values():
            lookup.cancel()
        await asyncio.gather(*self._found.values(), return_exceptions=True)

    async def _find(self, module: str, folder: str) -> str:
        source = _module_at(folder)
        image = "" if source else self._named.get(module, module if is_reference(module) and not folder else "")
        if image:
            what, advice = f"image {image}", "check its name, and `docker login` if it is private"
        else:
            source = source or self._folder(module, [] if folder else self._folders)
            image = await _built_from(module, source)
            what = f"image of the current files in {source} ({image})"
            advice = f"build it: aioparcs build {shlex.quote(str(source))} --push"
        try:
            return await self.pin(image)
        except ClusterError as error:
            raise StartError(module, f"there is no {what}: {error.reason}; {advice}") from error

    def _folder(self, module: str, folders: Sequence[Path]) -> Path:
        """
        Return a module's folder.

        Raises:
            StartError: there is none; the message says how to start a module without a folder.
        """
        for folder in folders:
            if module not in ("", ".", "..") and os.path.isfile(folder / module / "main.py"):
                return folder / module
        image = f"{registry_address(None) or 'registry:5000'}/{module}:latest"
        if "PARCS_IMAGES" in os.environ:
            built = ", ".join(sorted(self._named)) or "none"
            raise StartError(
                module,
                f"this run has built no image of it (built: {built}): it builds the modules whose names are string "
                f"literals in its programs or words in a value of -e; pass the name, such as -e SERVICE={module}, or "
                f"start the image {image}",
            )
        where = f"in {' or '.join(map(str, folders))}" if folders else "where its path leads"
        reason = f"there is no module of that name (a folder with main.py) {where}"
        raise StartError(module, f"{reason}; start an image by its reference, such as {image}")


def _module_at(folder: str) -> Path | None:
    """Return the folder if it has a ``main.py``, else None."""
    return Path(folder) if folder and os.path.isfile(os.path.join(folder, "main.py")) else None


def is_reference(module: str) -> bool:
    """Return whether a name is the reference of an image, not the name of a module."""
    return "/" in module or ":" in module


def read_images(variables: Mapping[str, str]) -> dict[str, str]:
    """
    Return the images of modules that ``PARCS_IMAGES`` lists, by the modules' names.

    Raises:
        SettingError: ``PARCS_IMAGES`` is not a JSON object of names and references.
    """
    try:
        images = json.loads(variables.get("PARCS_IMAGES") or "{}")
    except ValueError:
        images = None
    references = images.values() if isinstance(images, dict) else [None]
    if not all(isinstance(image, str) and is_reference(image) for image in references):
        raise SettingError('PARCS_IMAGES must be a JSON object such as {"factor": "registry:5000/factor:latest"}')
    return dict(images)


async def _built_from(module: str, folder: Path) -> str:
    """Return the image that `aioparcs build` would build from the current files of a module's folder."""
    if not registry_address(None):
        raise StartError(
            module,
            "a Swarm runs images: name the registry that has the modules' images in PARCS_REGISTRY, "
            "or start an image by its reference, such as registry:5000/factor",
        )
    try:
        return f"{image_name(module)}:{await asyncio.to_thread(source_tag, folder)}"
    except (OSError, UnicodeDecodeError) as error:
        raise StartError(module, f"its folder can't be read: {error}") from error


def _without_tag(image: str) -> str:
    head, slash, name = image.rpartition("/")
    return f"{head}{slash}{name.partition(':')[0]}"
