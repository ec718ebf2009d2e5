"""From a module's name to the one image that all of its workers run."""

from __future__ import annotations

import asyncio
import json
import os

from aioparcs.errors import ClusterError, StartError
from aioparcs.swarm.api import Swarm
from aioparcs.swarm.credentials import one_registry
from aioparcs.swarm.names import image_name, registry_address

__all__ = ["Images"]


class Images:
    """
    The images of one job: each is looked up once, so that all workers run the same one.

    ``PARCS_IMAGES``, which `aioparcs run` sets, says what it has built: a JSON object of names and images.

    Args:
        swarm: the leader, which asks the registries.
    """

    def __init__(self, swarm: Swarm) -> None:
        self._swarm = swarm
        self._built: dict[str, str] = json.loads(os.environ.get("PARCS_IMAGES", "{}"))
        self._found: dict[str, asyncio.Future[str]] = {}

    async def find(self, module: str) -> str:
        """
        Tell the image of a module, with its digest.

        Cancelling it leaves the look-up to others that wait for it.

        Raises:
            StartError: there is no such image, or the registry can't be asked and the leader has it neither.
        """
        looking = self._found.get(module)
        if looking is None or (looking.done() and looking.exception()):  # it may have been built since
            looking = self._found[module] = asyncio.ensure_future(self._find(module))
        return await asyncio.shield(looking)

    async def aclose(self) -> None:
        """End look-ups that are under way."""
        for looking in self._found.values():
            looking.cancel()
        await asyncio.gather(*self._found.values(), return_exceptions=True)

    async def _find(self, module: str) -> str:
        image = self._built.get(module) or self._reference(module)
        if "@" in image:
            return image
        try:
            # Without it every node would ask the registry for itself, and perhaps get another image.
            digest = await self._swarm.digest(image, await asyncio.to_thread(one_registry, image))
        except ClusterError as error:
            if await self._swarm.has_image(image):
                return image  # loaded or built on the node itself; nodes that don't have it will say so
            raise StartError(module, f"there is no image {image}: {error.reason}; {_advice(module, image)}") from error
        return f"{_without_tag(image)}@{digest}"

    @staticmethod
    def _reference(module: str) -> str:
        if "/" in module or ":" in module:
            return module
        if not registry_address(None):
            raise StartError(
                module,
                "a Swarm runs images: name the registry that has the modules' images in PARCS_REGISTRY, "
                "or start an image by its reference, such as registry:5000/factor",
            )
        return image_name(module)


def _without_tag(image: str) -> str:
    head, slash, name = image.rpartition("/")
    return f"{head}{slash}{name.partition(':')[0]}"


def _advice(module: str, image: str) -> str:
    if "/" in module or ":" in module:
        return "check its name, and `docker login` if it is private"
    return f"build it: aioparcs build {module} --push --registry {image.rpartition('/')[0]}"
