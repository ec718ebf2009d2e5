"""The names of images, and the registry, base image and wheels from arguments or else the environment."""

from __future__ import annotations

import os
import re
from pathlib import Path

from aioparcs.errors import SettingError
from aioparcs.settings import VERSION

__all__ = ["WORKER", "base_image", "check_request", "image_name", "registry_address", "wheel_folder"]

WORKER = "-worker"  # the end of the tag of the image that services are built on

_REPOSITORY = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")


def registry_address(registry: str | None) -> str:
    """
    Return the registry, ``host:port`` with or without a path; "" if there is none.

    Args:
        registry: None for ``PARCS_REGISTRY`` of the environment.

    Raises:
        SettingError: it has a scheme, which image names can't have.
    """
    address = (registry or os.environ.get("PARCS_REGISTRY") or "").rstrip("/")
    if "://" in address:
        raise SettingError(f"registry {address!r}: leave out {address.partition('://')[0]}://")
    return address


def image_name(module: str, registry: str | None = None) -> str:
    """
    Return the image of a module, without a tag: ``registry/module``.

    Raises:
        SettingError: Docker allows no image of that name.
    """
    address, name = registry_address(registry), module.lower()
    if not _REPOSITORY.fullmatch(name):
        raise SettingError(
            f"no image can be called {module!r}: rename the folder, with letters and digits, and . _ - between them"
        )
    return f"{address}/{name}" if address else name


def base_image(registry: str | None = None, base: str | None = None, *, service: bool = False) -> str:
    """
    Return the image that modules are built on: ``base``, else ``PARCS_BASE_IMAGE``, else this version's own.

    That of services has only what workers load; the other one can also run programs.
    """
    address = registry_address(registry)
    name = f"aioparcs/python:{VERSION}{WORKER if service else ''}"
    own = f"{address}/{name}" if address else name
    return base or os.environ.get("PARCS_BASE_IMAGE") or own


def wheel_folder(wheels: Path | None) -> Path | None:
    """
    Return the folder of wheels that packages are installed from: ``wheels``, else ``PARCS_WHEELS``, else None.

    Raises:
        SettingError: there is no such folder.
    """
    named = os.environ.get("PARCS_WHEELS")
    folder = wheels or (Path(named) if named else None)
    if folder is not None and not folder.is_dir():
        raise SettingError(f"there is no folder of wheels {os.fspath(folder)!r}")
    return folder


def check_request(module: str, *, registry: str | None, push: bool, tag: str | None) -> None:
    """
    Check the names in a request to build an image; nothing is connected.

    Raises:
        SettingError: the name of the module, registry or tag is invalid, or there is no registry to push to.
    """
    image_name(module, registry)
    if push and not registry_address(registry):
        raise SettingError("pushing needs a registry: --registry HOST:PORT, or PARCS_REGISTRY in the environment")
    if tag is not None and not _TAG.fullmatch(tag):
        raise SettingError(f"{tag!r} is not a tag: at most 128 letters, digits and _ . -")
