"""Carries the steps of a plan out: each by a few commands over ssh, or requests to the host's Docker."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from functools import singledispatchmethod
from typing import Any

from aioparcs.errors import ClusterError
from aioparcs.provision import steps
from aioparcs.provision.facts import IN_SWARM
from aioparcs.provision.plan import NEW, Plan
from aioparcs.provision.programs.facts import MARKER
from aioparcs.provision.ssh import HostError, Remote
from aioparcs.provision.survey import LABEL, gather
from aioparcs.swarm.docker.client import open_swarm, wait_until
from aioparcs.swarm.engine.overlay import ensure_overlay

__all__ = ["Executor"]

_PORT = 2377
_INSTALL = {
    # A machine that has just been made installs its own updates first, and holds the lock meanwhile.
    "apt-get": "export DEBIAN_FRONTEND=noninteractive; apt-get -qq update && "
    "apt-get -qq install --yes --no-install-recommends -o DPkg::Lock::Timeout=300 {package} >&2",
    "dnf": "dnf install --quiet --assumeyes {package} >&2",
}
_START = (
    "if [ -d /run/systemd/system ]; then systemctl enable --now docker; else service docker start; fi >&2 </dev/null"
)
_INSTALLING, _STARTING, _JOINING = 1200.0, 90.0, 60.0  # seconds


class Executor:
    """
    Carries steps out.

    Args:
        remotes: the hosts, by name.
        report: is called with each step when it is done.
    """

    def __init__(self, remotes: Mapping[str, Remote], report: Callable[[steps.Step], None]) -> None:
        self._remotes = remotes
        self._report = report

    async def carry_out(self, plan: Plan) -> list[HostError]:
        """
        Carry a plan out, stage after stage, until hosts fail; the others of that stage end what they have begun.

        Returns:
            the errors of the hosts that have failed. What is done stays done, and a new plan begins there.
        """
        for stage in plan.stages:
            hosts = dict.fromkeys(step.host for step in stage)
            chains = [[step for step in stage if step.host == host] for host in hosts]
            failed = [result for result in await gather(map(self._chain, chains)) if isinstance(result, HostError)]
            if failed:
                return failed
        return []

    async def _chain(self, chain: Sequence[steps.Step]) -> None:
        for step in chain:
            await self._do(step, self._remotes[step.host])
            self._report(step)

    @singledispatchmethod
    async def _do(self, step: Any, remote: Remote) -> None:
        raise TypeError(f"no step: {step!r}")

    @_do.register
    async def _(self, step: steps.InstallDocker, remote: Remote) -> None:
        install = _INSTALL[step.manager]
        command = install.format(package=step.package)
        client = install.format(package=step.client)
        await remote.run(
            f"({command}) && (command -v docker >&2 || ({client}))",
            timeout=_INSTALLING,
            what=f"installing {step.package}",
        )
        await self._start(remote)

    @_do.register
    async def _(self, step: steps.StartDocker, remote: Remote) -> None:
        await self._start(remote)

    async def _start(self, remote: Remote) -> None:
        await remote.run(_START, timeout=_STARTING, what="starting Docker")
        (answer,) = await remote.docker(("GET", "/version", None), wait=_STARTING)
        if answer.status != 200:
            reason = f"Docker does not answer after its start: {answer.body['message']}"
            raise HostError(
                remote.host.name, reason, "its log there says why: journalctl -u docker, or /var/log/docker.log"
            )

    @_do.register
    async def _(self, step: steps.AddToGroup, remote: Remote) -> None:
        user = shlex.quote(step.user)
        await remote.run(f"usermod --append --groups docker {user}", timeout=30, what=f"adding {step.user} to a group")

    @_do.register
    async def _(self, step: steps.InitSwarm, remote: Remote) -> None:
        await _mark(remote, NEW)
        body = {"ListenAddr": f"0.0.0.0:{_PORT}", "AdvertiseAddr": str(step.address)}
        await remote.change("POST", "/swarm/init", body, "docker swarm init")

    @_do.register
    async def _(self, step: steps.JoinSwarm, remote: Remote) -> None:
        manager = self._remotes[step.via]
        swarm, info = await manager.docker(("GET", "/swarm", None), ("GET", "/info", None))
        if swarm.status != 200:
            raise HostError(step.via, f"its Swarm can't be asked: {swarm.body['message']}")
        token = swarm.body["JoinTokens"]["Manager" if step.manager else "Worker"]
        body = {
            "ListenAddr": f"0.0.0.0:{_PORT}",
            "AdvertiseAddr": str(step.address),
            "RemoteAddrs": [f"{info.body['Swarm']['NodeAddr']}:{_PORT}"],
            "JoinToken": token,
        }
        await remote.change("POST", "/swarm/join", body, "docker swarm join")

    @_do.register
    async def _(self, step: steps.Promote, remote: Remote) -> None:
        await self._update(step.via, await _node(remote), {"Role": "manager"})

    @_do.register
    async def _(self, step: steps.Mark, remote: Remote) -> None:
        (swarm,) = await self._remotes[step.via].docker(("GET", "/swarm", None))
        await self._update(step.via, await _node(remote), {"Labels": {LABEL: remote.url}})
        await _mark(remote, swarm.body["ID"])

    @_do.register
    async def _(self, step: steps.CreateNetwork, remote: Remote) -> None:
        try:
            async with open_swarm(remote.url) as swarm:
                await ensure_overlay(swarm, None)
        except ClusterError as error:
            raise HostError(step.host, error.reason, error.advice) from error

    async def _update(self, via: str, node: str, changes: Mapping[str, Any]) -> None:
        """Change a node's specification; its labels are added to those that it has."""
        manager = self._remotes[via]
        (answer,) = await manager.docker(("GET", f"/nodes/{node}", None))
        if answer.status != 200:
            raise HostError(via, f"the node {node} can't be looked at: {answer.body['message']}")
        spec = answer.body["Spec"]
        labels = {**(spec.get("Labels") or {}), **changes.get("Labels", {})}
        version = answer.body["Version"]["Index"]
        fresh = {**spec, **changes, "Labels": labels}
        await manager.change("POST", f"/nodes/{node}/update?version={version}", fresh, "docker node update")


async def _node(remote: Remote) -> str:
    """Return a host's ID in its Swarm, as soon as it is a node in order."""
    node = ""

    async def is_active() -> bool:
        nonlocal node
        (info,) = await remote.docker(("GET", "/info", None))
        if info.status == 200 and info.body["Swarm"]["LocalNodeState"] == IN_SWARM:
            node = str(info.body["Swarm"]["NodeID"])
        return bool(node)

    if not await wait_until(is_active, _JOINING):
        raise HostError(
            remote.host.name, f"is not an active node of its Swarm after {_JOINING:g} s", "docker info there says why"
        )
    return node


async def _mark(remote: Remote, swarm: str) -> None:
    folder, text = MARKER.rpartition("/")[0], shlex.quote(json.dumps({"swarm": swarm}))
    command = f"mkdir -p {folder} && printf '%s\\n' {text} > {MARKER}"
    await remote.run(command, timeout=30, what=f"writing {MARKER}")
