"""The credentials for registries, read from Docker's own configuration as its command line does."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aioparcs.errors import SettingError

__all__ = [
    "build_auth_header",
    "configuration",
    "configuration_file",
    "forget_credentials",
    "has_credentials",
    "is_configured",
    "keep_credentials",
    "pull_auth_header",
]

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
    if not is_configured():
        return {REGISTRIES: _encode({})}
    from docker import auth
    from docker.errors import DockerException

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


def has_credentials(registry: str) -> bool:
    """
    Return whether there are credentials for a registry; may run a credential helper, and block.

    Raises:
        SettingError: as above.
    """
    return bool(_find(f"{registry}/image")[1])


def keep_credentials(registry: str, user: str, password: str) -> None:
    """
    Keep credentials for a registry as ``docker login`` does: by the configured credential helper, or in the file.

    Raises:
        SettingError: Docker's configuration, or its credential helper, can't be used.
    """
    with _changed_configuration() as found:
        if store := _store(found, registry):
            store.store(registry, user, password)
        else:
            found.setdefault("auths", {})[registry] = _entry({"username": user, "password": password})


def forget_credentials(registry: str) -> None:
    """
    Remove the credentials for a registry as ``docker logout`` does.

    Raises:
        SettingError: as above.
    """
    with _changed_configuration() as found:
        if store := _store(found, registry):
            store.erase(registry)
        found.get("auths", {}).pop(registry, None)


def _store(found: Mapping[str, Any], registry: str) -> Any:
    """Return the credential helper that is configured for a registry, None if there is none."""
    helper = found.get("credHelpers", {}).get(registry) or found.get("credsStore")
    if not helper:
        return None
    from docker.credentials import Store

    return Store(helper)


@contextmanager
def _changed_configuration() -> Iterator[dict[str, Any]]:
    """Provide Docker's configuration, and write it if the block has changed it."""
    file = configuration_file().resolve()
    try:
        found = json.loads(file.read_text())
        before = json.dumps(found)
        yield found
        if json.dumps(found) != before:
            fresh = file.with_suffix(".aioparcs")
            fresh.touch(mode=0o600)
            fresh.write_text(json.dumps(found, indent="\t"))
            fresh.replace(file)
    except (OSError, ValueError, RuntimeError) as error:  # RuntimeError: a helper's, of the docker package
        raise _unusable(error) from error


def configuration_file() -> Path:
    """Return Docker's configuration file, made if it is not there."""
    file = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker", "config.json")
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        file.touch(mode=0o600)
        file.write_text("{}")
    return file


def is_configured() -> bool:
    """
    Return whether Docker has a configuration here.

    Without one, as in containers, there are no credentials and no contexts, and the docker package need not be loaded:
    it loads requests, urllib3 and paramiko, and takes longer than all the rest of a command.
    """
    home, named = Path.home(), os.environ.get("DOCKER_CONFIG")
    files = [Path(folder, "config.json") for folder in (named, home / ".docker") if folder]
    return any(file.exists() for file in (*files, home / ".dockercfg"))


def _find(image: str) -> tuple[str, Mapping[str, Any]]:
    """Return the name of an image's registry in Docker's configuration, and its credentials, {} if there are none."""
    if not is_configured():
        return "", {}
    from docker import auth
    from docker.errors import DockerException

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
    return base64.urlsafe_b64encode(json.dumps(credentials).encode("ascii")).decode("ascii")


def _unusable(error: Exception) -> SettingError:
    return SettingError(
        f"the registry's credentials in Docker's configuration can't be used: {error}; run docker login"
    )
