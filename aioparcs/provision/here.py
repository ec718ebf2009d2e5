"""The user's machine: credentials for a cluster's registry, and a Docker context."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Collection

from aioparcs.provision.plans.steps import HERE
from aioparcs.provision.ssh import HostError
from aioparcs.swarm.docker.credentials import (
    configuration_file,
    forget_credentials,
    has_credentials,
    is_configured,
    keep_credentials,
)

__all__ = ["context_of", "context_url", "create_context", "forget", "is_logged_in", "log_in_here"]


async def is_logged_in(registry: str) -> bool:
    """Return whether Docker's configuration has credentials for a registry."""
    return await asyncio.to_thread(has_credentials, registry)


async def log_in_here(registry: str, user: str, password: str) -> None:
    """Keep credentials for a registry in Docker's configuration."""
    await asyncio.to_thread(keep_credentials, registry, user, password)


def context_url(name: str) -> str:
    """Return the leader that a Docker context names, "" if there is no such context."""
    if not is_configured():
        return ""
    from docker.context import ContextAPI

    context = ContextAPI.get_context(name)
    return str(context.Host or "") if context else ""


def context_of(urls: Collection[str]) -> str:
    """Return the name of a Docker context that names one of these leaders, "" if there is none."""
    if not is_configured():
        return ""
    from docker.context import ContextAPI

    # ContextAPI.contexts() leaves each of these files open.
    files = sorted(configuration_file().parent.glob("contexts/meta/*/meta.json"))
    names = [str(json.loads(file.read_text())["Name"]) for file in files]
    return next((name for name in names if ContextAPI.get_context(name).Host in urls), "")


def create_context(name: str, url: str) -> None:
    """
    Create a Docker context; the current one stays the current one.

    Raises:
        HostError: there is another one of that name, or it can't be written.
    """
    configuration_file()  # without it contexts would be looked for in the current folder
    from docker.context import ContextAPI
    from docker.errors import ContextAlreadyExists, DockerException

    try:
        context = ContextAPI.create_context(name, host=url)
        context.endpoints["docker"]["Host"] = (
            url  # docker-py adds port 22, which would hide the one of ssh's configuration
        )
        context.save()
    except ContextAlreadyExists:
        reason = f"there is a Docker context {name} already, for {context_url(name)}"
        raise HostError(HERE, reason, f"docker context rm {name}, or name this one: --context NAME") from None
    except (DockerException, OSError, ValueError) as error:
        raise HostError(HERE, f"the Docker context {name} can't be written: {error}") from error


def forget(context: str, registry: str) -> None:
    """
    Remove a Docker context and the credentials for a registry; "" for none. What is gone already is fine.

    Raises:
        SettingError: Docker's configuration can't be written.
    """
    if registry:
        forget_credentials(registry)
    if context and context_url(context):
        from docker.context import ContextAPI

        ContextAPI.remove_context(context)
