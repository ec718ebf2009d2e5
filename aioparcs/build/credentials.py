"""What proves to a registry who pushes and pulls: read from Docker's own configuration, as its command line does."""

from __future__ import annotations

from typing import Any

from docker import auth
from docker.errors import DockerException

from aioparcs.errors import SettingError

__all__ = ["all_registries", "one_registry"]

REGISTRY = "X-Registry-Auth"
REGISTRIES = "X-Registry-Config"


def one_registry(image: str) -> dict[str, str]:
    """
    Make the header for pushing or pulling an image; a credential helper may be run for it, and waited for.

    Raises:
        SettingError: Docker's configuration, or its credential helper, can't be used.
    """
    try:
        registry, _ = auth.resolve_repository_name(image)
        found = auth.resolve_authconfig(auth.load_config(), registry)
    except (DockerException, OSError, ValueError) as error:
        raise _unusable(error) from error
    return {REGISTRY: _encode(found or {})}  # a push without the header is refused; an empty one is nobody's


def all_registries() -> dict[str, str]:
    """
    Make the header for a build, which may pull from any registry.

    Raises:
        SettingError: as above.
    """
    try:
        found = auth.load_config().get_all_credentials()  # type: ignore[no-untyped-call]
    except (DockerException, OSError, ValueError) as error:
        raise _unusable(error) from error
    return {REGISTRIES: _encode({name: known for name, known in found.items() if known})}


def _encode(credentials: Any) -> str:
    return auth.encode_header(credentials).decode("ascii")


def _unusable(error: Exception) -> SettingError:
    return SettingError(f"the registry's credentials in Docker's configuration can't be used: {error}; docker login?")
