"""The build of a module's image, and its push; only what has changed is built or pushed."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, NamedTuple

from aiodocker import Docker, DockerError

from aioparcs.build.daemon import stream
from aioparcs.build.dockerfile import DOCKERFILE, pack_module
from aioparcs.build.transcript import BuildOutput, Transcript
from aioparcs.errors import BuildError, StartError
from aioparcs.modules.images import base_image, check_request, image_name, wheel_folder
from aioparcs.modules.kinds import is_service
from aioparcs.swarm.docker import credentials
from aioparcs.swarm.docker.client import wait_until
from aioparcs.swarm.docker.images import inspect_image, registry_digest
from aioparcs.swarm.engine.source import HASH_DIGITS

__all__ = ["BuiltImage", "ImageBuild", "build"]

_REMOVAL = 10.0  # seconds that a step gets to end when its build is cut
CONTENT = "io.aioparcs.content"  # the label with the hash of an image's inputs


class BuiltImage(NamedTuple):
    """
    An image of a module.

    Attributes:
        module: the module's name.
        reference: the image, ``name:tag``; the tag is a hash of all that went into it.
        digest: ``name@sha256:...`` once it is in a registry, else None.
        built: whether it was built now.
        pushed: whether it was pushed now.
    """

    module: str
    reference: str
    digest: str | None
    built: bool
    pushed: bool


async def build(
    docker: Docker,
    folder: Path,
    *,
    registry: str | None = None,
    base: str | None = None,
    push: bool = False,
    wheels: Path | None = None,
    tag: str | None = None,
    output: BuildOutput | None = None,
) -> BuiltImage:
    """
    Build a module's image with the leader's Docker, and push it; what has not changed is not built or pushed again.

    The image also has the tag of its source, by which a runner finds it, see `source_tag`. Nothing is written into the
    module's folder. Cancelling it ends the build or the push: a build leaves nothing, a push leaves whole layers.

    Args:
        docker: an open client of the leader, see `open_docker`.
        folder: the module; its name is the module's.
        registry: where the image goes, ``host:port``; None for ``PARCS_REGISTRY``.
        base: the image to build on; None for ``PARCS_BASE_IMAGE``, else ``aioparcs/python`` in the registry: for a
            module that only serves the one of workers.
        push: whether it goes to the registry, for other nodes to pull.
        wheels: a folder to install packages from, without the network; None for ``PARCS_WHEELS``.
        tag: one more tag for the image.
        output: shows its output.

    Raises:
        BuildError: a step failed, the base image is not there, or the registry refuses.
        SettingError: an argument, or the variable in its place, has an impossible value.
        DockerError: the leader can't be reached, or fails; `open_docker` turns it into a `ClusterError`.
    """
    check_request(folder.name, registry=registry, push=push, tag=tag)
    building = ImageBuild(docker, folder.name, image_name(folder.name, registry), output)
    base = base_image(registry, base, service=is_service(folder))
    return await building.of_module(folder, base, wheel_folder(wheels), push=push, tag=tag)


class ImageBuild:
    """
    The steps for one image: pull, build, tag and push.

    Attributes:
        output: shows their output.
    """

    def __init__(self, docker: Docker, module: str, name: str, output: BuildOutput | None) -> None:
        self._docker = docker
        self._module = module
        self._name = name
        self.output = output or BuildOutput()

    async def of_module(
        self, folder: Path, base: str, wheels: Path | None, *, push: bool, tag: str | None
    ) -> BuiltImage:
        """Build the image of a module, see `build`."""
        self.output.state("packing")
        with TemporaryFile() as file:
            try:
                packed, bases = await asyncio.to_thread(pack_module, folder, base, wheels, file)
            except StartError as error:
                raise BuildError(self._module, "", error.reason) from error
            except (OSError, UnicodeDecodeError) as error:
                raise BuildError(self._module, "", f"its folder can't be read: {error}") from error
            content = await self.identify(packed.content, bases, needed=not (folder / DOCKERFILE).is_file())
            return await self.carry_out(file, content, push=push, tags=(packed.tag, *([tag] if tag else [])))

    async def identify(self, packed: object, bases: Sequence[str], *, needed: bool) -> str:
        """
        Return the hash of all inputs of a build.

        Args:
            packed: a description of the build's context.
            bases: the images that it begins with.
            needed: whether they must be there; else the build itself reports what is wrong.
        """
        identities = [await self._identity(image, needed=needed) for image in bases]
        return hashlib.sha256(json.dumps([packed, identities]).encode()).hexdigest()

    async def carry_out(
        self,
        file: IO[bytes],
        content: str,
        *,
        push: bool,
        tags: Sequence[str],
        arguments: Mapping[str, str] | None = None,
    ) -> BuiltImage:
        """Build, tag and push what is not there yet; return the image."""
        reference = f"{self._name}:{content[:HASH_DIGITS]}"
        there = await inspect_image(self._docker, reference) is not None
        digest = await self._published(reference) if push else None
        built = not there and digest is None
        if built:
            await self._build(file, reference, {CONTENT: content}, arguments or {})
        pushed = push and digest is None
        if pushed:
            digest = await self._push(reference)
        for tag in tags:
            pushed = await self._add_tag(reference, f"{self._name}:{tag}", digest) or pushed
        full = f"{self._name}@{digest}" if digest else None
        return BuiltImage(self._module, reference, full, built, pushed)

    async def _identity(self, image: str, *, needed: bool) -> str:
        """Return the ID of an image to build on, after pulling it: else the same build would hash differently later."""
        found = await inspect_image(self._docker, image)
        if found is None:
            try:
                await self._pull(image)
            except BuildError as error:
                if not needed:
                    return ""  # the build itself will report what is wrong with a Dockerfile
                advice = "aioparcs image build makes aioparcs's own, --base and PARCS_BASE_IMAGE name another"
                reason = f"its base image is not there; {advice}. {error.reason}"
                raise BuildError(self._module, image, reason) from error
            found = await inspect_image(self._docker, image)
        return str(found["Id"]) if found else ""

    async def _build(
        self, file: IO[bytes], reference: str, labels: dict[str, str], arguments: Mapping[str, str]
    ) -> None:
        # version 1 is the builder that every engine has; BuildKit would need a session of its own protocol.
        params = {"t": reference, "rm": "1", "forcerm": "1", "version": "1", "labels": json.dumps(labels)}
        params["buildargs"] = json.dumps(dict(arguments))
        headers = await asyncio.to_thread(credentials.build_auth_header)
        headers["Content-Type"] = "application/x-tar"
        transcript = self._transcript(reference)
        try:
            await self._follow(transcript, "build", params, headers, file)
        except (asyncio.CancelledError, SystemExit):  # SIGTERM may arrive in the midst of this
            if transcript.made:
                await wait_until(lambda: self._remove_image(transcript.made[-1]), _REMOVAL)
            raise
        if "ID" not in transcript.result:
            raise transcript.failure("the build ended without a result")

    async def _remove_image(self, image: str) -> bool:
        """Remove an image that a cancelled build has made, and its unused parents; return whether it is gone."""
        try:
            await self._docker.images.delete(image)
        except DockerError as error:
            return error.status != 409  # the container of the step that was cut is still ending
        return True

    async def _push(self, reference: str) -> str:
        name, _, tag = reference.rpartition(":")
        headers = await self._credentials(reference)
        transcript = self._transcript(reference)
        await self._follow(transcript, f"images/{name}/push", {"tag": tag}, headers)
        digest = transcript.result.get("Digest") or await self._published(reference)
        if digest is None:
            raise transcript.failure("it was pushed, but the registry doesn't have it")
        return str(digest)

    async def _pull(self, image: str) -> None:
        params = {"fromImage": image}
        if "@" not in image and ":" not in image.rpartition("/")[2]:
            params["tag"] = "latest"
        headers = await self._credentials(image)
        await self._follow(self._transcript(image), "images/create", params, headers)

    async def _add_tag(self, reference: str, tagged: str, digest: str | None) -> bool:
        """Add one more tag, and push it if the image is in the registry; return whether it was pushed."""
        if digest and await self._published(tagged) == digest:
            return False
        if await inspect_image(self._docker, reference) is None:  # only the registry has it
            await self._pull(reference)
        name, _, tag = tagged.rpartition(":")
        await self._docker.images.tag(reference, name, tag=tag)
        if digest is None:
            return False
        await self._push(tagged)
        return True

    async def _follow(
        self,
        transcript: Transcript,
        path: str,
        params: dict[str, str],
        headers: dict[str, str],
        data: IO[bytes] | None = None,
    ) -> None:
        try:
            async with stream(self._docker, path, params=params, headers=headers, data=data) as messages:
                async for message in messages:
                    transcript.take(message)
        except DockerError as error:
            if error.status == 900:
                raise
            raise transcript.failure(error.message) from error
        except TimeoutError as error:
            raise transcript.failure("the leader has not answered for 10 minutes") from error

    async def _published(self, image: str) -> str | None:
        """Return an image's digest in its registry; None if it is not there, or the registry can't be asked."""
        headers = await self._credentials(image)
        try:
            return await registry_digest(self._docker, image, headers)
        except DockerError as error:
            if error.status == 900:
                raise
            return None  # pushing will report why
        except TimeoutError:
            return None  # the leader waits for the registry

    async def _credentials(self, image: str) -> dict[str, str]:
        return await asyncio.to_thread(credentials.pull_auth_header, image)

    def _transcript(self, image: str) -> Transcript:
        return Transcript(self._module, image, self.output)
