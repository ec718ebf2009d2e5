"""The credentials for registries, read from Docker's own configuration as its command line does."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from typing import Any

from docker import auth
from docker.errors import DockerException

from aioparcs.errors import SettingError

__all__ = ["build_auth_header", "configuration", "pull_auth_header"]

REGISTRY = "X-Registry-Auth"
REGISTRIES = "X-Registry-Config"


def pull_auth_header(image: str) -> dict[str, str]:
    """
    Return the header for pushing or pulling an image; may run a credential helper, and block.

    Raises:
        SettingError: Docker's configuration, or its credential helper, can't be used.
    """
    return {REGISTRY: _encode(_find(image)[1])}  # a push without the header is refused; an empty one is anonymous


def build_auth_header() -> dict[str, str]:
    """
    Return the header for a build, which may pull from any registry.

    Raises:
        SettingError: as above.
    """
    try:
        found = auth.load_config().get_all_credentials()  # type: ignore[no-untyped-call]
    except (DockerException, OSError, ValueError) as error:
        raise _unusable(error) from error
    return {REGISTRIES: _encode({name: known for name, known in found.items() if known})}


def configuration(images: Iterable[str]) -> str:
    """
    Return a configuration for Docker (``config.json``) with the registries of these images and no others.

    Credentials from a credential helper or the system's key ring are written out: its reader has neither.

    Returns:
        JSON; "" if they all want no password, as far as is known here.

    Raises:
        SettingError: as above.
    """
    found = dict(map(_find, images))
    entries = {registry: _entry(known) for registry, known in found.items() if known}
    return json.dumps({"auths": entries}) if entries else ""


def _find(image: str) -> tuple[str, Mapping[str, Any]]:
    """Return the name of an image's registry in Docker's configuration, and its credentials, {} if there are none."""
    try:
        registry, _ = auth.resolve_repository_name(image)
        found = auth.resolve_authconfig(auth.load_config(), registry)
    except (DockerException, OSError, ValueError) as error:
        raise _unusable(error) from error
    return auth.INDEX_URL if registry == auth.INDEX_NAME else registry, found or {}


def _entry(known: Mapping[str, Any]) -> dict[str, str]:
    """Return credentials as ``docker login`` stores them; helpers' have capital letters, and some are a token."""
    fields = {name.lower(): value for name, value in known.items()}
    if token := fields.get("identitytoken"):
        return {"identitytoken": token}
    return {"auth": base64.b64encode(f"{fields['username']}:{fields['password']}".encode()).decode()}


def _encode(credentials: Any) -> str:
    return auth.encode_header(credentials).decode("ascii")


def _unusable(error: Exception) -> SettingError:
    return SettingError(
        f"the registry's credentials in Docker's configuration can't be used: {error}; run docker login"
    )
