"""A Python base image made of Debian's packages, where no registry has one to offer."""

import hashlib
import shutil
from pathlib import Path

from tests.cluster.command import execute
from tests.cluster.node import Node
from tests.cluster.registry import Registry

__all__ = ["NAME", "PYTHON", "TAG", "is_current", "provide"]

NAME, TAG = "aioparcs/base", "bookworm"
PYTHON = "3.11"
"""The version of Python that Debian 12 has."""

_RECIPE = "io.aioparcs.recipe"  # the label that tells what made an image
_NOT_NEEDED = (
    "usr/share/doc", "usr/share/info", "usr/share/lintian", "usr/share/locale", "usr/share/man",
    "var/cache/apt", "var/cache/debconf", "var/lib/apt/lists", "var/log",
)  # fmt: skip
# A death of this process is one of debootstrap, and its mounts are its own.
_APART = ("setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")


def is_current(registry: Registry) -> bool:
    """Return whether the registry has the image as it is made here."""
    return (registry.labels(NAME, TAG) or {}).get(_RECIPE) == _recipe()


def provide(node: Node, registry: Registry, folder: Path) -> None:
    """
    Build the image and push it.

    Args:
        node: whose dockerd takes it in.
        registry: where it is kept.
        folder: where there is room for its files meanwhile.
    """
    image = f"{registry.address}/{NAME}:{TAG}"
    tree = folder / "base"
    shutil.rmtree(tree, ignore_errors=True)
    _make(tree)
    _take_in(node, tree, image)
    node.docker("push", "--quiet", image, timeout=120)
    shutil.rmtree(tree)


def _recipe() -> str:
    return hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:16]


def _make(tree: Path) -> None:
    execute(*_APART, "debootstrap", "--variant=minbase", "--include=python3", TAG, tree, timeout=600)
    for name in _NOT_NEEDED:
        shutil.rmtree(tree / name)
        (tree / name).mkdir()
    (tree / "etc/resolv.conf").unlink()
    (tree / "usr/bin/python").symlink_to("python3")


def _take_in(node: Node, tree: Path, image: str) -> None:
    options = ("--change", 'CMD ["python3"]', "--change", f"LABEL {_RECIPE}={_recipe()}")
    archive = tree.with_suffix(".tar")
    execute("tar", "--create", "--file", archive, "--directory", tree, ".", timeout=120)
    node.docker("import", *options, archive, image, timeout=120)
    archive.unlink()
