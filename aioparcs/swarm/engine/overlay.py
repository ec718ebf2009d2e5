"""The overlay network of the jobs: its checks, and its creation. One that is there already is never changed."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network, ip_network
from pathlib import Path
from typing import NamedTuple

from aioparcs.errors import ClusterError, SettingError
from aioparcs.swarm.docker.client import SwarmClient, wait_until
from aioparcs.swarm.docker.records import SwarmNetwork
from aioparcs.swarm.engine.advertise import subnets
from aioparcs.swarm.engine.placement import network_name

__all__ = ["CAPACITY", "Overlay", "choose_subnet", "ensure_overlay", "unfit_reason"]

# Containers that the network of a cluster should have addresses for: Docker's own choice, a /24, has 250.
CAPACITY = 4000
# Subnets are chosen from here: apart from the ranges of Docker (10.0.0.0 on, 172.17.0.0 on), of Google's (10.128.0.0
# on) and Amazon's networks (172.31.0.0), and of homes and offices (192.168.0.0, 10.0.0.0).
_POOL = IPv4Network("10.76.0.0/14")
_PREFIX = 20
_MAKING = 20.0  # seconds that Docker gets to make a network
_RESERVED = 3  # the first and the last address are none; the gateway has one


class Overlay(NamedTuple):
    """
    The network of the jobs.

    Attributes:
        name: its name.
        subnet: its subnet.
        capacity: how many addresses it has for containers.
        created: whether it was created just now.
    """

    name: str
    subnet: str
    capacity: int
    created: bool


async def ensure_overlay(swarm: SwarmClient, wanted: str | None) -> Overlay:
    """
    Create the network, unless a fit one is there.

    Args:
        swarm: the leader.
        wanted: the subnet; None to choose one with room for 4,000 containers.

    Raises:
        ClusterError: a network of that name is there, but isn't fit, or Docker refuses to make one.
        SettingError: what is wanted is no subnet, or overlaps one that is in use.
    """
    name, nodes = network_name(), len(await swarm.nodes())
    subnet = _parse(wanted) if wanted else None
    network = await swarm.networks.find(name)
    created = network is None
    if network is None:
        subnet = _check_free(subnet, await _taken(swarm)) if subnet else choose_subnet(await _taken(swarm))
        config = {"Config": [{"Subnet": str(subnet)}]}
        await swarm.networks.create({"Name": name, "Driver": "overlay", "Attachable": True, "IPAM": config})
        network = await _wait_complete(swarm, name)
    reason = unfit_reason(network, 0 if created or subnet else CAPACITY + nodes, subnet)
    if reason:
        advice = f"when no job runs, docker network rm {name} and try again; or name another network in PARCS_NETWORK"
        raise ClusterError(swarm.leader.shown, f"the network {name!r} {reason}; nothing was changed", advice)
    return Overlay(name, ", ".join(subnets(network)), _addresses(network) - nodes, created)


async def _wait_complete(swarm: SwarmClient, name: str) -> SwarmNetwork:
    """Wait for a network that was just created: Docker lists it before it has given it a driver and addresses."""
    network: SwarmNetwork | None = None

    async def is_complete() -> bool:
        nonlocal network
        network = await swarm.networks.find(name)
        return bool(network and network["Driver"] and subnets(network))

    if not await wait_until(is_complete, _MAKING) or network is None:
        reason = f"the network {name!r} does not exist {_MAKING:g} s after Docker created it"
        raise ClusterError(swarm.leader.shown, reason, f"docker network inspect {name}")
    return network


def unfit_reason(network: SwarmNetwork, capacity: int = 0, subnet: IPv4Network | None = None) -> str:
    """
    Return why a network is not fit for jobs, "" if it is.

    Args:
        network: the network, as Docker describes it.
        capacity: how many addresses it should have.
        subnet: its subnet, if it should have a certain one.
    """
    if network["Driver"] != "overlay" or network["Scope"] != "swarm":
        return f"has the driver {network['Driver']} ({network['Scope']}), and is not an overlay of the Swarm"
    if not network.get("Attachable"):
        return "is not attachable: no runner can join it from outside a Swarm service"
    if subnet and str(subnet) not in subnets(network):
        return f"has the subnet {', '.join(subnets(network))}, not {subnet}"
    if _addresses(network) < capacity:
        return f"is too small: {_addresses(network)} addresses ({', '.join(subnets(network))})"
    return ""


def choose_subnet(taken: Iterable[IPv4Network]) -> IPv4Network:
    """
    Return the first /20 of 10.76.0.0/14 that overlaps nothing that is in use.

    Raises:
        SettingError: there is none.
    """
    taken = list(taken)
    for subnet in _POOL.subnets(new_prefix=_PREFIX):
        if not any(map(subnet.overlaps, taken)):
            return subnet
    raise SettingError(f"all of {_POOL} is in use here: choose a network of your own, --subnet A.B.C.D/20")


def _check_free(subnet: IPv4Network, taken: Iterable[IPv4Network]) -> IPv4Network:
    for other in taken:
        if subnet.overlaps(other):
            raise SettingError(f"--subnet {subnet} overlaps {other}, which is in use")
    return subnet


def _parse(text: str) -> IPv4Network:
    try:
        return IPv4Network(text)
    except ValueError as error:
        raise SettingError(f"--subnet {text!r} is not a subnet such as {_POOL[0]}/{_PREFIX}: {error}") from None


def _addresses(network: SwarmNetwork) -> int:
    return sum(ip_network(subnet).num_addresses - _RESERVED for subnet in subnets(network))


async def _taken(swarm: SwarmClient) -> list[IPv4Network]:
    """Return what is in use: networks that the leader knows, addresses of the nodes, routes of this host."""
    names = [subnet for network in await swarm.networks.list() for subnet in subnets(network)]
    names += [node["Status"]["Addr"] for node in await swarm.nodes() if node["Status"].get("Addr")]
    known = [network for network in map(ip_network, names) if isinstance(network, IPv4Network)]
    return known + _routes()


def _routes() -> list[IPv4Network]:
    """Return this host's routes without the default one; none on systems other than Linux."""
    try:
        rows = [line.split() for line in Path("/proc/net/route").read_text().splitlines()[1:]]
    except OSError:
        return []
    routes = [(int(row[1], 16).to_bytes(4, "little"), int(row[7], 16).bit_count()) for row in rows]
    return [IPv4Network(route) for route in routes if route[1]]
