"""The checks of a cluster for jobs, one after another, each with advice for its failure."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from urllib.parse import urlsplit

from aioparcs.address import Address
from aioparcs.engine.checks import Check, CheckState
from aioparcs.errors import ClusterError, ConnectionLost
from aioparcs.modules.images import base_image, registry_address
from aioparcs.swarm.docker.client import SwarmClient, open_swarm
from aioparcs.swarm.docker.endpoint import is_loopback
from aioparcs.swarm.docker.records import SwarmNetwork, SwarmNode, SwarmTask
from aioparcs.swarm.docker.task_state import is_ready, node_names
from aioparcs.swarm.doctor.probe import Finding, probe
from aioparcs.swarm.engine.advertise import AdvertisedAddress, find_advertised_address, free_addresses, subnets
from aioparcs.swarm.engine.images import Images
from aioparcs.swarm.engine.overlay import unfit_reason
from aioparcs.swarm.engine.placement import network_name
from aioparcs.transport import Listener, listen

__all__ = ["examine"]

_OLDEST_API = (1, 40)  # Docker 19.03
_FEW = 200  # free addresses: a Swarm's own choice, a /24, begins with 250


async def examine() -> AsyncIterator[Check]:
    """
    Check the cluster, from this host and from each of its nodes; yield each check as soon as it is done.

    What can't be checked because of what has failed before is left out.

    Raises:
        SettingError: an address in the environment makes no sense.
    """
    try:
        async with open_swarm(check=False) as swarm:
            info = await swarm.check_manager()
            version = await swarm.docker.version()
            where = f"{info['Name']} at {swarm.leader.shown}, named by {swarm.leader.source}"
            yield Check("leader", CheckState.OK, f"{where}, is a manager")
            yield _api(str(version["Version"]), str(version["ApiVersion"]))
            yield _access(swarm)
            nodes = await swarm.nodes()
            yield _nodes(nodes)
            network = await swarm.networks.find(network_name())
            yield _network(network)
            if network and not unfit_reason(network):
                yield _addresses(network, await swarm.all_tasks(), len(nodes))
            advertised = find_advertised_address(swarm.leader, network, info["Swarm"]["NodeAddr"])
            async for check in _from_the_nodes(swarm, network, advertised):
                yield check
    except ClusterError as error:
        yield Check("leader", CheckState.FAILED, f"Docker at {error.url}: {error.reason}", error.advice)


def _api(engine: str, api: str) -> Check:
    text = f"Docker {engine}, API {api}"
    if tuple(map(int, api.split("."))) < _OLDEST_API:
        return Check("version", CheckState.FAILED, f"{text} is too old", "install Docker 20.10 or newer on every node")
    return Check("version", CheckState.OK, text)


def _access(swarm: SwarmClient) -> Check:
    url = urlsplit(swarm.leader.url)
    if not swarm.leader.is_open:
        return Check("access", CheckState.OK, f"{url.scheme}://: only those who may use it can reach it")
    advice = f"{swarm.leader.safer}; docs.docker.com/engine/security/protect-access"
    text = f"{swarm.leader.shown} gives root on the cluster to anyone who can reach it"
    return Check("access", CheckState.WARNING, text, advice)


def _nodes(nodes: list[SwarmNode]) -> Check:
    down = [*node_names(node for node in nodes if not is_ready(node)).values()]
    idle = [*node_names(node for node in nodes if node["Spec"]["Availability"] != "active").values()]
    text = f"{len(nodes) - len(down)} of {len(nodes)} are ready"
    if down:
        state = CheckState.FAILED if len(down) == len(nodes) else CheckState.WARNING
        advice = "start Docker there (systemctl start docker), or docker node rm --force NODE"
        return Check("nodes", state, f"{text}; not {', '.join(down)}", advice)
    if idle:
        advice = "docker node update --availability active NODE"
        return Check("nodes", CheckState.WARNING, f"{text}; {', '.join(idle)} take no work (drained or paused)", advice)
    return Check("nodes", CheckState.OK, text)


def _network(network: SwarmNetwork | None) -> Check:
    name = network_name()
    if network is None:
        return Check("network", CheckState.FAILED, f"there is no network {name!r}", "aioparcs cluster init")
    if reason := unfit_reason(network):
        advice = f"when nothing uses it, docker network rm {name} and aioparcs cluster init; or set PARCS_NETWORK=OTHER"
        return Check("network", CheckState.FAILED, f"{name!r} {reason}", advice)
    return Check("network", CheckState.OK, f"{name!r} is an attachable overlay, {', '.join(subnets(network))}")


def _addresses(network: SwarmNetwork, tasks: list[SwarmTask], nodes: int) -> Check:
    free = free_addresses(network, tasks, nodes)
    text = f"{free} are free in {network['Name']!r}, one for each container"
    if free >= _FEW:
        return Check("addresses", CheckState.OK, text)
    advice = f"end jobs (aioparcs ps); for a larger one, docker network rm {network['Name']} and aioparcs cluster init"
    return Check("addresses", CheckState.WARNING if free else CheckState.FAILED, text, advice)


async def _from_the_nodes(
    swarm: SwarmClient, network: SwarmNetwork | None, advertised: AdvertisedAddress
) -> AsyncIterator[Check]:
    """Check what only a container on each node can find out."""
    registry = registry_address(None)
    if not registry:
        advice = "set PARCS_REGISTRY=HOST:PORT to a registry that all nodes can pull from"
        yield Check("registry", CheckState.WARNING, "no registry is set", advice)
    try:
        image = await _pin_base_image(swarm)
        listener = await _listen(advertised)
    except ClusterError as error:
        text = f"there is no image {base_image()}: {error.reason}"
        yield Check("base image", CheckState.FAILED, text, "make it: aioparcs image build")
        return
    except ConnectionLost as error:
        yield Check("runner here", CheckState.FAILED, str(error), "name a free port, or none, in PARCS_ADVERTISE")
        return
    try:
        own, dialled = f"{_bracketed(advertised.host)}:{listener.address.port}", _registry_target(registry)
        targets = (own, dialled) if dialled else (own,)
        findings = await probe(swarm, image, targets, network if advertised.overlay else None)
    finally:
        await listener.aclose()
    yield _image(base_image(), findings)
    ran = [finding for finding in findings if not finding.problem]
    if ran and registry:
        yield _registry(registry, dialled, ran)
    if ran:
        yield _own(own, ran)


async def _pin_base_image(swarm: SwarmClient) -> str:
    images = Images(swarm)
    try:
        return await images.pin(base_image())
    finally:
        await images.aclose()


async def _listen(advertised: AdvertisedAddress) -> Listener:
    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    return await listen(Address("tcp", "0.0.0.0", advertised.port), hang_up)


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
        advice = "try docker pull on these nodes; docker login, or insecure-registries in daemon.json, may be missing"
        text = f"{name} does not run: {'; '.join(bad) or 'no node takes work'}"
        return Check("base image", CheckState.FAILED, text, advice)
    return Check("base image", CheckState.OK, f"{name} runs on {_names(findings)}")


def _registry(registry: str, target: str, findings: list[Finding]) -> Check:
    bad = [f"from {one.node} ({one.unreachable[target]})" for one in findings if target in one.unreachable]
    if bad:
        advice = "open its port for the nodes in its firewall, or name another in PARCS_REGISTRY"
        return Check("registry", CheckState.FAILED, f"{registry} can't be reached {', '.join(bad)}", advice)
    return Check("registry", CheckState.OK, f"{registry} can be reached from {_names(findings)}")


def _own(own: str, findings: list[Finding]) -> Check:
    bad = [f"from {one.node} ({one.unreachable[own]})" for one in findings if own in one.unreachable]
    if bad:
        advice = (
            "open this host's ports for the nodes, name another address in PARCS_ADVERTISE, or aioparcs run --on swarm"
        )
        return Check("runner here", CheckState.FAILED, f"{own} can't be reached {', '.join(bad)}", advice)
    return Check("runner here", CheckState.OK, f"workers can reach it at {own} from {_names(findings)}")


def _names(findings: Iterable[Finding]) -> str:
    return ", ".join(finding.node for finding in findings)
