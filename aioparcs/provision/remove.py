"""Carries the steps of a removal out."""

from __future__ import annotations

import asyncio
import shlex
from functools import singledispatchmethod
from typing import Any

from aioparcs.provision import here, registry
from aioparcs.provision.carrier import Carrier, certificate_path, query, update_node
from aioparcs.provision.plans import removal
from aioparcs.provision.programs.facts import CERTIFICATES, MARKER
from aioparcs.provision.ssh import HostError, Remote
from aioparcs.swarm.docker.client import wait_until

__all__ = ["Remover"]

_ENDED = ("complete", "failed", "shutdown", "rejected", "orphaned", "remove")
_DRAINING, _DEMOTING, _STOPPING, _CLOSING = 120.0, 60.0, 60.0, 20.0  # seconds


class Remover(Carrier[removal.RemovalStep]):
    """Carries the steps of `plan_remove` and `plan_down` out."""

    @singledispatchmethod
    async def do(self, step: Any) -> None:
        """Do a step."""
        raise TypeError(f"no step: {step!r}")

    @do.register
    async def _(self, step: removal.Drain) -> None:
        manager = self.remotes[step.via]
        await update_node(manager, step.node, {"Availability": "drain"})

        async def is_empty() -> bool:
            (tasks,) = await manager.docker(("GET", query("/tasks", node=[step.node]), None))
            return tasks.status == 200 and all(task["Status"]["State"] in _ENDED for task in tasks.body)

        if not await wait_until(is_empty, _DRAINING):
            reason = f"containers still run there {_DRAINING:g} s after it was drained"
            raise HostError(step.host, reason, f"docker node ps {step.host}; end them and try again")

    @do.register
    async def _(self, step: removal.Demote) -> None:
        manager = self.remotes[step.via]
        await update_node(manager, step.node, {"Role": "worker"})

        async def is_worker() -> bool:
            (node,) = await manager.docker(("GET", f"/nodes/{step.node}", None))
            return node.status == 200 and not node.body.get("ManagerStatus")

        if not await wait_until(is_worker, _DEMOTING):
            raise HostError(step.host, f"is still a manager after {_DEMOTING:g} s", "docker node ls")

    @do.register
    async def _(self, step: removal.Leave) -> None:
        remote = self.remotes[step.host]
        (answer,) = await remote.docker(("POST", "/swarm/leave?force=true", None))
        if answer.status not in (200, 503):  # 503: it has left already
            raise HostError(step.host, f"docker swarm leave has failed: {(answer.body or {}).get('message')}")
        await wait_until(lambda: _has_closed(remote), _CLOSING)  # if not, the next `up` says whose port it is
        files = f"rm -rf {shlex.quote(MARKER.rpartition('/')[0])}"
        if step.registry:
            files += f" {shlex.quote(certificate_path(CERTIFICATES, step.registry).rpartition('/')[0])}"
        await remote.run(files, timeout=30, what="removing aioparcs' files")

    @do.register
    async def _(self, step: removal.ForgetNode) -> None:
        await self.remotes[step.via].change("DELETE", f"/nodes/{step.node}?force=true", None, "docker node rm")

    @do.register
    async def _(self, step: removal.StopRegistry) -> None:
        manager = self.remotes[step.host]
        (removed,) = await manager.docker(("DELETE", f"/services/{registry.NAME}", None))
        if removed.status not in (200, 404):  # 404: an earlier run has removed it
            raise HostError(step.host, f"docker service rm has failed: {(removed.body or {}).get('message')}")
        for secret in await manager.change("GET", query("/secrets", label=[registry.LABEL]), None, "docker secret ls"):
            await manager.change("DELETE", f"/secrets/{secret['ID']}", None, "docker secret rm")
        if step.node in self.remotes:
            await _remove_volume(self.remotes[step.node])

    @do.register
    async def _(self, step: removal.Forget) -> None:
        await asyncio.to_thread(here.forget, step.context, step.registry)


async def _has_closed(remote: Remote) -> bool:
    """Return whether no program listens on 7946/tcp: Docker closes it a moment after it has left its Swarm."""
    listens = "cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | grep ':1F0A 0*:0000 0A' || true"
    return not await remote.run(listens, timeout=30, what="looking for a port")


async def _remove_volume(remote: Remote) -> None:
    """Remove the registry's volume, as soon as no container has it."""

    async def is_gone() -> bool:
        (answer,) = await remote.docker(("DELETE", f"/volumes/{registry.NAME}", None))
        return answer.status in (204, 404)

    if not await wait_until(is_gone, _STOPPING):
        raise HostError(remote.host.name, "the registry's volume is in use", f"docker volume rm {registry.NAME} there")
