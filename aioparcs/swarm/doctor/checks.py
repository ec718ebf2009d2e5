"""The checks of a cluster for jobs, one after another, each with advice for its failure."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import NamedTuple
from urllib.parse import urlsplit

from aioparcs.address import Address
from aioparcs.errors import ClusterError, ConnectionLost
from aioparcs.modules.images import base_image, registry_address
from aioparcs.swarm.docker.client import SwarmClient, open_swarm
from aioparcs.swarm.docker.endpoint import is_loopback
from aioparcs.swarm.docker.records import SwarmNetwork, SwarmNode, SwarmTask
from aioparcs.swarm.docker.task_state import is_ready, node_names
from aioparcs.swarm.doctor.probe import Finding, probe
from aioparcs.swarm.engine.advertise import AdvertisedAddress, find_advertised_address, free_addresses, subnets
from aioparcs.swarm.engine.images import Images
from aioparcs.swarm.engine.overlay import unfit
from aioparcs.swarm.engine.placement import network_name
from aioparcs.transport import Listener, listen

__all__ = ["Check", "examine"]

_OLDEST_API = (1, 40)  # Docker 19.03
_FEW = 200  # free addresses: a Swarm's own choice, a /24, begins with 250


class Check(NamedTuple):
    """
    The result of one check.

    Attributes:
        name: what was checked.
        state: ``ok``, ``warning`` or ``failed``.
        text: what was found.
        advice: how to fix it, "" if there is nothing to fix.
    """

    name: str
    state: str
    text: str
    advice: str = ""


Tell = Callable[[Check], None]


async def examine(tell: Tell) -> None:
    """
    Check the cluster, from this host and from each of its nodes.

    What can't be checked because of what has failed before is left out.

    Args:
        tell: called with each check as soon as it is done.

    Raises:
        SettingError: an address in the environment makes no sense.
    """
    try:
        async with open_swarm(check=False) as swarm:
            info = await swarm.check_manager()
            version = await swarm.docker.version()
            where = f"{info['Name']} at {swarm.leader.shown}, named by {swarm.leader.source}"
            tell(Check("leader", "ok", f"{where}, is a manager"))
            tell(_api(str(version["Version"]), str(version["ApiVersion"])))
            tell(_access(swarm))
            nodes = await swarm.nodes()
            tell(_nodes(nodes))
            network = await swarm.networks.find(network_name())
            tell(_network(network))
            if network and not unfit(network):
                tell(_addresses(network, await swarm.all_tasks(), len(nodes)))
            await _from_the_nodes(
                swarm, network, find_advertised_address(swarm.leader, network, info["Swarm"]["NodeAddr"]), tell
            )
    except ClusterError as error:
        tell(Check("leader", "failed", f"Docker at {error.url}: {error.reason}", error.advice))


def _api(engine: str, api: str) -> Check:
    text = f"Docker {engine}, API {api}"
    if tuple(map(int, api.split("."))) < _OLDEST_API:
        return Check("version", "failed", f"{text} is too old", "install Docker 20.10 or newer on every node")
    return Check("version", "ok", text)


def _access(swarm: SwarmClient) -> Check:
    url = urlsplit(swarm.leader.url)
    if not swarm.leader.is_open:
        return Check("access", "ok", f"{url.scheme}://: only those who may use it can reach it")
    advice = f"{swarm.leader.safer}; docs.docker.com/engine/security/protect-access"
    return Check(
        "access", "warning", f"{swarm.leader.shown} gives root on the cluster to anyone who can reach it", advice
    )


def _nodes(nodes: list[SwarmNode]) -> Check:
    down = [*node_names(node for node in nodes if not is_ready(node)).values()]
    idle = [*node_names(node for node in nodes if node["Spec"]["Availability"] != "active").values()]
    text = f"{len(nodes) - len(down)} of {len(nodes)} are ready"
    if down:
        state = "failed" if len(down) == len(nodes) else "warning"
        advice = "start Docker there (systemctl start docker), or docker node rm --force NODE"
        return Check("nodes", state, f"{text}; not {', '.join(down)}", advice)
    if idle:
        advice = "docker node update --availability active NODE"
        return Check("nodes", "warning", f"{text}; {', '.join(idle)} take no work (drained or paused)", advice)
    return Check("nodes", "ok", text)


def _network(network: SwarmNetwork | None) -> Check:
    name = network_name()
    if network is None:
        return Check("network", "failed", f"there is no network {name!r}", "aioparcs cluster init")
    if reason := unfit(network):
        advice = f"when nothing uses it, docker network rm {name}; aioparcs cluster init; or PARCS_NETWORK=OTHER"
        return Check("network", "failed", f"{name!r} {reason}", advice)
    return Check("network", "ok", f"{name!r} is an attachable overlay, {', '.join(subnets(network))}")


def _addresses(network: SwarmNetwork, tasks: list[SwarmTask], nodes: int) -> Check:
    free = free_addresses(network, tasks, nodes)
    text = f"{free} are free in {network['Name']!r}, one for each container"
    if free >= _FEW:
        return Check("addresses", "ok", text)
    advice = f"end jobs (aioparcs ps); for a larger one, docker network rm {network['Name']} and aioparcs cluster init"
    return Check("addresses", "warning" if free else "failed", text, advice)


async def _from_the_nodes(
    swarm: SwarmClient, network: SwarmNetwork | None, reach: AdvertisedAddress, tell: Tell
) -> None:
    """Check what only a container on each node can find out."""
    registry = registry_address(None)
    if not registry:
        tell(
            Check(
                "registry", "warning", "no registry is named", "PARCS_REGISTRY=HOST:PORT, which all nodes can pull from"
            )
        )
    images = Images(swarm)
    try:
        image = await images.pin(base_image())
    except ClusterError as error:
        tell(
            Check(
                "base image",
                "failed",
                f"there is no image {base_image()}: {error.reason}",
                "make it: aioparcs image build",
            )
        )
        return
    finally:
        await images.aclose()
    try:
        listener = await _listen(reach)
    except ConnectionLost as error:
        tell(Check("runner here", "failed", str(error), "name a free port, or none, in PARCS_ADVERTISE"))
        return
    try:
        own = f"{_bracketed(reach.host)}:{listener.address.port}"
        dialled = _registry_target(registry)
        targets = (own, dialled) if dialled else (own,)
        findings = await probe(swarm, image, targets, network if reach.overlay else None)
    finally:
        await listener.aclose()
    tell(_image(base_image(), findings))
    able = [finding for finding in findings if not finding.problem]
    if able and registry:
        tell(_registry(registry, dialled, able))
    if able:
        tell(_own(own, able))


async def _listen(reach: AdvertisedAddress) -> Listener:
    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    return await listen(Address("tcp", "0.0.0.0", reach.port), hang_up)


def _registry_target(registry: str) -> str:
    """Return the address to connect to for a registry; "" if it is each node's own, as with ``localhost:5000``."""
    url = urlsplit(f"//{registry}")
    if not url.hostname or is_loopback(url.hostname):
        return ""
    return f"{_bracketed(url.hostname)}:{url.port or 443}"


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _image(name: str, findings: list[Finding]) -> Check:
    bad = [f"{finding.node}: {finding.problem}" for finding in findings if finding.problem]
    if bad or not findings:
        advice = "can these nodes pull it? docker pull there; docker login, insecure-registries in daemon.json"
        return Check("base image", "failed", f"{name} does not run: {'; '.join(bad) or 'no node takes work'}", advice)
    return Check("base image", "ok", f"{name} runs on {_names(findings)}")


def _registry(registry: str, target: str, findings: list[Finding]) -> Check:
    bad = [f"from {one.node} ({one.unreachable[target]})" for one in findings if target in one.unreachable]
    if bad:
        advice = "open its port for the nodes in its firewall, or name another in PARCS_REGISTRY"
        return Check("registry", "failed", f"{registry} can't be reached {', '.join(bad)}", advice)
    return Check("registry", "ok", f"{registry} can be reached from {_names(findings)}")


def _own(own: str, findings: list[Finding]) -> Check:
    bad = [f"from {one.node} ({one.unreachable[own]})" for one in findings if own in one.unreachable]
    if bad:
        advice = (
            "open this host's ports for the nodes, name another address in PARCS_ADVERTISE, or aioparcs run --on swarm"
        )
        return Check("runner here", "failed", f"{own} can't be reached {', '.join(bad)}", advice)
    return Check("runner here", "ok", f"workers can reach it at {own} from {_names(findings)}")


def _names(findings: Iterable[Finding]) -> str:
    return ", ".join(finding.node for finding in findings)
