"""The base image of modules: Python and this installation of aioparcs."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import zipfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution, version
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryFile

from aiodocker import Docker

import aioparcs
from aioparcs.build.dockerfile import DOCKERFILE, find_wheels, own_pip
from aioparcs.build.image import BuiltImage, ImageBuild
from aioparcs.build.transcript import BuildOutput
from aioparcs.errors import BuildError
from aioparcs.modules.images import WORKER, registry_address, wheel_folder
from aioparcs.settings import VERSION
from aioparcs.swarm.engine.source import Context

__all__ = ["PYTHON", "build_base", "own_wheel"]

NAME = "aioparcs/python"
_FOR_WORKERS = "--no-deps aioparcs msgpack uvloop"
PYTHON = "python:3.13-slim"
"""The image with Python that it is built on, unless another one is named."""


async def build_base(
    docker: Docker,
    *,
    service: bool = False,
    registry: str | None = None,
    python: str = PYTHON,
    wheels: Path | None = None,
    output: BuildOutput | None = None,
) -> BuiltImage:
    """
    Build the image that modules are built on, with the leader's Docker, and push it if there is a registry.

    Its tag is the version of aioparcs, which is taken as it is installed here; what it requires is downloaded.

    Args:
        docker: an open client of the leader, see `open_docker`.
        service: build the one that services are built on, with what workers load and no more. Its tag ends in
            ``-worker``.
        registry: where the image goes, ``host:port``; None for ``PARCS_REGISTRY``.
        python: the image with Python to build on.
        wheels: a folder with wheels for that Python of all that aioparcs requires, to build without network; None
            for ``PARCS_WHEELS``.
        output: shows its output.

    Raises:
        BuildError: a step failed, the image with Python is not there, or the registry refuses.
        SettingError: an argument, or the variable in its place, has an impossible value.
        DockerError: the leader can't be reached, or fails; `open_docker` turns it into a `ClusterError`.
    """
    address, folder = registry_address(registry), wheel_folder(wheels)
    building = ImageBuild(docker, NAME, f"{address}/{NAME}" if address else NAME, output)
    arguments = {"BASE": python, "VERSION": VERSION, "INDEX": "--no-index" if folder else ""}
    tag = VERSION
    if service:
        arguments["PACKAGES"], tag = _FOR_WORKERS, f"{VERSION}{WORKER}"
    building.output.state("packing")
    with TemporaryFile() as file:
        try:
            context = await asyncio.to_thread(_context, folder)
            packed = await asyncio.to_thread(context.pack, file)
        except (OSError, PackageNotFoundError) as error:
            raise BuildError(NAME, "", f"its wheels can't be read: {error}") from error
        content = await building.identify([packed.content, arguments], [python], needed=True)
        return await building.carry_out(file, content, push=bool(address), tags=(tag,), arguments=arguments)


def own_wheel() -> tuple[str, bytes]:
    """Return the name and the content of a wheel of aioparcs as it is installed here, or as its source is."""
    data = io.BytesIO()
    record = ""
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in _wheel_files():
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)  # always of 1980: one hash
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
            record += f"{name},sha256={digest},{len(content)}\n"
        own = f"aioparcs-{VERSION}.dist-info/RECORD"
        archive.writestr(zipfile.ZipInfo(own), f"{record}{own},,\n")
    return f"aioparcs-{VERSION}-py3-none-any.whl", data.getvalue()


def _wheel_files() -> Iterator[tuple[str, bytes]]:
    root = Path(aioparcs.__file__).parent
    for path in sorted(root.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            yield f"aioparcs/{path.relative_to(root)}", path.read_bytes()
    installed, info = distribution("aioparcs"), f"aioparcs-{VERSION}.dist-info"
    yield f"{info}/WHEEL", b"Wheel-Version: 1.0\nGenerator: aioparcs\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    metadata = installed.read_text("METADATA") or installed.read_text("PKG-INFO")  # of a wheel, of a source tree
    yield f"{info}/METADATA", (metadata or "").encode()
    yield f"{info}/entry_points.txt", (installed.read_text("entry_points.txt") or "").encode()


def _context(wheels: Path | None) -> Context:
    """
    Return the context of the build: wheels, and the Dockerfile that installs them.

    Raises:
        BuildError: there is no pip, or there are no wheels.
    """
    context = Context()
    context.add(DOCKERFILE, (files(__package__) / "base.Dockerfile").read_bytes())
    name, wheel = own_wheel()
    context.add(name, wheel)
    given = find_wheels(NAME, wheels, (".whl",)) if wheels else []
    for path in given:
        if not path.name.startswith("aioparcs-"):
            context.add(path.name, path.resolve())
    if not any(path.name.startswith("pip-") for path in given):
        pip = own_pip()
        if pip is None:
            raise BuildError(NAME, "", "this Python has no pip to install it with: python -m ensurepip")
        context.add(f"pip-{version('pip')}-py3-none-any.whl", pip)
    return context
