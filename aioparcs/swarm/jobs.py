"""Jobs (placeholder until merged)."""

from __future__ import annotations

from aioparcs.swarm.api import Swarm

__all__ = ["remove_job", "sweep"]


async def remove_job(swarm: Swarm, job: str) -> None:
    """Remove."""
    for service in await swarm.services(job):
        await swarm.remove_service(service["ID"])
    for secret in await swarm.secrets(job):
        await swarm.remove_secret(secret["ID"])


async def sweep(swarm: Swarm) -> list[str]:
    """Sweep."""
    return []
