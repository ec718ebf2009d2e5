"""The Dockerfile of a module: written for one that has none, else read for its base images."""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Iterator
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import IO

from aioparcs.errors import BuildError
from aioparcs.modules.includes import INCLUDED, read_includes
from aioparcs.modules.requirements import Requirements, read_requirements
from aioparcs.swarm.engine.source import IGNORE, Context, Packed, module_files

__all__ = ["DOCKERFILE", "bases", "find_wheels", "module_context", "own_pip", "pack_module", "write_dockerfile"]

DOCKERFILE = "Dockerfile"
# Folders of the context: what becomes /parcs, and what is only needed to install packages.
MODULE, PACKAGES = "module", "packages"
# The user `parcs` of the base image; by its number, for other base images.
USER = "1000:1000"
# Other base images may not know that user: without an entry it would have no name, and / for a home.
_ADD_USER = """
import os, pwd
try:
    pwd.getpwuid(1000)
except KeyError:
    os.makedirs("/home/parcs", exist_ok=True)
    os.chown("/home/parcs", 1000, 1000)
    for path, entry in ("/etc/passwd", "parcs:x:1000:1000::/home/parcs:/bin/sh"), ("/etc/group", "parcs:x:1000:"):
        with open(path, "a") as file:
            file.write(entry + "\\n")
"""

_FROM = re.compile(r"(?i)^\s*FROM\s+(?:--\S+\s+)*(\S+)(?:\s+AS\s+(\S+))?\s*$")
_LOADED = """
FROM {base} AS packages
LABEL io.aioparcs.content=packages
USER 0
COPY {packages}/ /build/{packages}/
{sources}RUN ["python", "/build/{packages}/install.py", "/opt/aioparcs", "-r", "{requirements}"]
"""
_INSTALLED = """COPY --from=packages /opt/aioparcs /opt/aioparcs
ENV PYTHONPATH=/opt/aioparcs/packages PATH=/opt/aioparcs/bin:$PATH
"""
_IMAGE = """
FROM {base}
USER 0
RUN {add_user}
{installed}COPY --chown={user} {module}/ /parcs/
WORKDIR /parcs
USER {user}
CMD ["python", "main.py"]
"""


def module_context(folder: Path, base: str, wheels: Path | None) -> tuple[Context, tuple[str, ...]]:
    """
    Return the context of the build of a module's folder, and the images that it begins with.

    A folder with a ``Dockerfile`` is sent as it is. For any other a Dockerfile is written, into the context only:
    ``base``, what the module requires, and the folder in ``/parcs``. Shared packages are sent with both.

    Args:
        folder: the module.
        base: the image to build on, where there is no Dockerfile.
        wheels: a folder that packages are installed from, instead of the network.

    Raises:
        BuildError: what it requires can't be read.
        StartError: the same, of its metadata and its shared packages.
        OSError: a file can't be read.
    """
    context, found = Context(), module_files(folder)
    top = "" if (folder / DOCKERFILE).is_file() else f"{MODULE}/"
    if read_includes(folder):
        context.add(f"{top}{INCLUDED}", b"")
    context.add_source(found, top)
    if not top:
        if (folder / IGNORE).is_file() and IGNORE not in found:
            context.add(IGNORE, folder / IGNORE)  # Docker reads it once more, and leaves out what it names
        return context, tuple(bases((folder / DOCKERFILE).read_text(encoding="utf-8-sig")))
    if "main.py" not in found:
        raise BuildError(folder.name, "", f"its {IGNORE} leaves out main.py")
    needed = read_requirements(folder, python=None)
    if needed.names:
        _add_packages(context, folder, needed, wheels)
    context.add(DOCKERFILE, write_dockerfile(base, needed).encode())
    return context, (base,)


def pack_module(folder: Path, base: str, wheels: Path | None, file: IO[bytes]) -> tuple[Packed, tuple[str, ...]]:
    """
    Write the context of `module_context` into a tar; return its hashes, and the images that the build begins with.

    Raises:
        BuildError: what the module requires can't be read, or changed meanwhile: the tag of its source would promise
            packages that are not in the image.
    """
    before = _read_needs(folder)
    context, images = module_context(folder, base, wheels)
    packed = context.pack(file)
    if _read_needs(folder) != before:
        raise BuildError(folder.name, "", "what it requires changed while it was packed; build it again")
    return packed, images


def _read_needs(folder: Path) -> str | Requirements:
    if (folder / DOCKERFILE).is_file():
        return (folder / DOCKERFILE).read_text(encoding="utf-8-sig")
    return read_requirements(folder, python=None)


def write_dockerfile(base: str, needed: Requirements) -> str:
    """Return the Dockerfile for a module without one; packages are installed in a stage of their own."""
    loaded = installed = ""
    if needed.names:
        requirements, local = _requirements_file(needed), _names_files(needed)
        sources = f"COPY {MODULE}/ /build/{MODULE}/\nWORKDIR /build/{MODULE}\n" if local else ""
        loaded = _LOADED.format(base=base, packages=PACKAGES, sources=sources, requirements=requirements)
        installed = _INSTALLED
    add_user = json.dumps(["python", "-c", _ADD_USER.strip()])
    image = _IMAGE.format(base=base, add_user=add_user, installed=installed, module=MODULE, user=USER)
    return (loaded + image).lstrip()


def bases(dockerfile: str) -> Iterator[str]:
    """Yield the images that a Dockerfile begins its stages with, without those that an ``ARG`` decides."""
    stages = {"scratch"}
    for line in dockerfile.splitlines():
        found = _FROM.match(line)
        if found is None:
            continue
        image, stage = found.groups()
        if image.lower() not in stages and "$" not in image:
            yield image
        stages.add((stage or "").lower())


def _add_packages(context: Context, folder: Path, needed: Requirements, wheels: Path | None) -> None:
    context.add(f"{PACKAGES}/install.py", (files(__package__) / "install.py").read_bytes())
    if _requirements_file(needed).startswith("/"):
        context.add(f"{PACKAGES}/requirements.txt", "".join(f"{name}\n" for name in needed.names).encode())
    if (pip := own_pip()) is not None:
        context.add(f"{PACKAGES}/pip.zip", pip)
    if wheels is not None:
        for path in find_wheels(folder.name, wheels, (".whl", ".tar.gz", ".zip")):
            context.add(f"{PACKAGES}/wheels/{path.name}", path.resolve())


def find_wheels(module: str, wheels: Path, endings: tuple[str, ...]) -> list[Path]:
    """
    Return the packages in a folder.

    Raises:
        BuildError: there are none.
    """
    found = [path for path in wheels.iterdir() if path.name.endswith(endings)]
    if not found:
        raise BuildError(module, "", f"there are no wheels in {wheels}: pip wheel -w {wheels} PACKAGE")
    return found


def _names_files(needed: Requirements) -> bool:
    """Return whether requirements name files of the module, which then must be there when they are installed."""
    return needed.content != "\n".join(needed.names)


def _requirements_file(needed: Requirements) -> str:
    """Return the file that the installer reads: the module's own only if the requirements name files of the module."""
    if _names_files(needed) and needed.arguments[0] == "-r":
        return needed.arguments[1]
    return f"/build/{PACKAGES}/requirements.txt"


def own_pip() -> bytes | None:
    """Return this Python's pip as a zip that any Python runs, for images without one; None if there is none here."""
    spec = find_spec("pip")
    if spec is None or spec.origin is None:
        bundled = find_spec("ensurepip")
        wheels = sorted(Path(str(bundled.origin)).parent.glob("_bundled/pip-*.whl")) if bundled else []
        return wheels[-1].read_bytes() if wheels else None
    root = Path(spec.origin).parent
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(root.rglob("*")):
            if path.is_file() and path.suffix != ".pyc":
                name = zipfile.ZipInfo(f"pip/{path.relative_to(root)}")  # always of 1980: one pip, one hash
                archive.writestr(name, path.read_bytes(), zipfile.ZIP_DEFLATED)
    return data.getvalue()
