"""The image that modules are built from: wheels of this repository, and images/python/Dockerfile."""

import hashlib
import os
import platform
import shutil
import sys
from pathlib import Path

from aioparcs.settings import VERSION
from tests.cluster import base
from tests.cluster.command import execute
from tests.cluster.node import Node
from tests.cluster.places import REPOSITORY
from tests.cluster.registry import Registry
from tests.support.wheels import build

__all__ = ["NAME", "download", "is_current", "make_wheels", "provide"]

NAME = "aioparcs/python"
_SOURCES = "io.aioparcs.sources"  # the label that tells which files an image was built from
_WHEELS = REPOSITORY / "build/wheels"
_DOCKERFILE = REPOSITORY / "images/python/Dockerfile"
_PIP = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input")


def is_current(registry: Registry) -> bool:
    """Return whether the registry has the image of the files that are here."""
    return (registry.labels(NAME, VERSION) or {}).get(_SOURCES) == _sources(registry)


def provide(node: Node, registry: Registry, python_base: str) -> None:
    """Build the images of workers and of programs from the wheels that were gathered, and push them."""
    arguments = ("--build-arg", f"BASE={python_base}", "--build-arg", f"VERSION={VERSION}", "--network", "none")
    label = f"{_SOURCES}={_sources(registry)}"
    for tag, packages in ((f"{VERSION}-worker", "--no-deps aioparcs msgpack uvloop"), (VERSION, "aioparcs")):
        name = f"{registry.address}/{NAME}:{tag}"
        words = ("--quiet", "--label", label, *arguments, "--build-arg", f"PACKAGES={packages}")
        node.docker("build", *words, "-f", _DOCKERFILE, "-t", name, _WHEELS, timeout=400)
        node.docker("push", "--quiet", name, timeout=300)


def _sources(registry: Registry) -> str:
    """Return a short digest of the files that the image is built from."""
    package = REPOSITORY / "aioparcs"
    files = [path for path in package.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    digest = hashlib.sha256(repr(registry.labels(base.NAME, base.TAG)).encode())
    for path in sorted([*files, REPOSITORY / "pyproject.toml", _DOCKERFILE]):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        digest.update(f"{path.relative_to(REPOSITORY)} {content}\n".encode())
    return digest.hexdigest()[:16]


def make_wheels() -> None:
    """Gather wheels for the image's Python, which need not be this one: aioparcs, what it requires, and pip."""
    shutil.rmtree(_WHEELS, ignore_errors=True)
    build(_WHEELS, "wheel")
    (package,) = _WHEELS.glob("aioparcs-*.whl")
    download(_WHEELS, package, "pip")


def download(folder: Path, *packages: str | Path) -> None:
    """Gather the wheels of packages, and of all that these require, for the image's Python."""
    kinds = [f"--platform=manylinux{version}_{platform.machine()}" for version in ("2014", "_2_17", "_2_28", "_2_34")]
    target = ("--only-binary=:all:", "--implementation=cp", f"--python-version={base.PYTHON}", *kinds)
    _pip("download", *target, "--find-links", folder, "--dest", folder, *packages)


def _pip(*arguments: str | Path) -> None:
    # The whole environment: it may be what tells pip where packages come from.
    execute(*_PIP, *arguments, timeout=300, env=dict(os.environ))
