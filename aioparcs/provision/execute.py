"""Carries the steps of a plan out: each by a few commands over ssh, or requests to the host's Docker."""

from __future__ import annotations

import asyncio
import json
import shlex
from collections.abc import Mapping
from functools import singledispatchmethod
from ipaddress import IPv4Address
from typing import Any

from aioparcs.build import build_base
from aioparcs.provision import here, registry
from aioparcs.provision.carrier import Carrier, certificate_path, query, update_node
from aioparcs.provision.plans import steps
from aioparcs.provision.plans.facts import IN_SWARM
from aioparcs.provision.plans.nodes import LABEL
from aioparcs.provision.plans.plan import NEW
from aioparcs.provision.programs.facts import CERTIFICATES, MARKER
from aioparcs.provision.ssh import HostError, Remote
from aioparcs.swarm.docker.client import open_swarm, wait_until
from aioparcs.swarm.docker.endpoint import open_docker
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
_INSTALLING, _STARTING, _JOINING, _SERVING = 1200.0, 90.0, 60.0, 180.0  # seconds
_LOGIN = "/etc/aioparcs/registry.json"  # on the manager: for users of other machines, who are root there anyway


class Executor(Carrier[steps.Step]):
    """Carries the steps of `plan_up` out."""

    async def do(self, step: steps.Step) -> None:
        """Do a step; the remote of one that changes this machine is the manager that it asks."""
        await self._do(step, self.remotes[getattr(step, "via", "") if step.host == steps.HERE else step.host])

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
        manager = self.remotes[step.via]
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
        await update_node(self.remotes[step.via], await _node(remote), {"Role": "manager"})

    @_do.register
    async def _(self, step: steps.Mark, remote: Remote) -> None:
        (swarm,) = await self.remotes[step.via].docker(("GET", "/swarm", None))
        await update_node(self.remotes[step.via], await _node(remote), {"Labels": {LABEL: remote.url}})
        await _mark(remote, swarm.body["ID"])

    @_do.register
    async def _(self, step: steps.Label, remote: Remote) -> None:
        await update_node(self.remotes[step.via], await _node(remote), {"Labels": dict(step.labels)})

    @_do.register
    async def _(self, step: steps.CreateNetwork, remote: Remote) -> None:
        async with open_swarm(remote.url) as swarm:
            await ensure_overlay(swarm, None)

    @_do.register
    async def _(self, step: steps.CreateRegistry, remote: Remote) -> None:
        host = step.address.rpartition(":")[0]
        keys = registry.make_keys(IPv4Address(host))
        login = {"username": registry.USER, "password": keys.password, "serveraddress": step.address}
        await remote.write(_certificate(step.address), keys.certificate, "644")
        await remote.write(_LOGIN, json.dumps(login), "600")
        stored = {}
        for spec in registry.secret_specs(keys):
            made = await remote.change("POST", "/secrets/create", spec, "docker secret create")
            stored[spec["Name"]] = made["ID"]
        spec = registry.service_spec(step.address, await _node(remote), stored)
        await remote.change("POST", "/services/create", spec, "docker service create")
        await self._wait_registry(remote, login)

    async def _wait_registry(self, remote: Remote, login: Mapping[str, str]) -> None:
        """Wait until the registry lets the user in that it should."""
        answer: Any = None

        async def answers() -> bool:
            nonlocal answer
            (answer,) = await remote.docker(("POST", "/auth", login))
            return bool(answer.status == 200)

        if not await wait_until(answers, _SERVING):
            (found,) = await remote.docker(("GET", query("/tasks", service=[registry.NAME]), None))
            reasons = {task["Status"].get("Err", "") for task in found.body} - {""}
            reason = "; ".join(sorted(reasons)) or answer.body["message"]
            advice = f"docker service ps {registry.NAME} there; docker service rm {registry.NAME} before another try"
            raise HostError(remote.host.name, f"the registry does not answer: {reason}", advice)

    @_do.register
    async def _(self, step: steps.Trust, remote: Remote) -> None:
        certificate = await self.remotes[step.via].read(_certificate(step.address))
        await remote.write(_certificate(step.address), certificate, "644")

    @_do.register
    async def _(self, step: steps.LogIn, manager: Remote) -> None:
        login = json.loads(await manager.read(_LOGIN))
        await here.log_in_here(step.address, login["username"], login["password"])

    @_do.register
    async def _(self, step: steps.BuildImage, remote: Remote) -> None:
        async with open_docker(remote.url) as docker:
            await build_base(docker, registry=step.registry, python=step.python)

    @_do.register
    async def _(self, step: steps.CreateContext, manager: Remote) -> None:
        await asyncio.to_thread(here.create_context, step.name, step.url)


def _certificate(address: str) -> str:
    return certificate_path(CERTIFICATES, address)


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
    await remote.write(MARKER, json.dumps({"swarm": swarm}) + "\n", "644")
