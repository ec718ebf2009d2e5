"""A Python base image made of Debian's packages, where no registry has one to offer."""

from pathlib import Path

from tests.cluster import debian
from tests.cluster.node import Node
from tests.cluster.registry import Registry

__all__ = ["NAME", "PYTHON", "TAG", "is_current", "provide"]

NAME, TAG = "aioparcs/base", debian.SUITE
PYTHON = "3.11"
"""The version of Python that Debian 12 has."""

_RECIPE = "io.aioparcs.recipe"  # the label that tells what made an image


def is_current(registry: Registry) -> bool:
    """Return whether the registry has the image as it is made here."""
    return (registry.labels(NAME, TAG) or {}).get(_RECIPE) == debian.recipe()


def provide(node: Node, registry: Registry, cache: Path) -> None:
    """
    Build the image and push it.

    Args:
        node: whose dockerd takes it in.
        registry: where it is kept.
        cache: the folder where its files are kept.
    """
    image = f"{registry.address}/{NAME}:{TAG}"
    options = ("--change", 'CMD ["python3"]', "--change", f"LABEL {_RECIPE}={debian.recipe()}")
    node.docker("import", *options, debian.provide(cache), image, timeout=300)
    node.docker("push", "--quiet", image, timeout=300)
