"""The address that the runner advertises, for workers to connect to."""

from __future__ import annotations

import os
import socket
from ipaddress import ip_address, ip_network
from typing import NamedTuple
from urllib.parse import urlsplit

from aioparcs.errors import SettingError
from aioparcs.swarm.docker.endpoint import DockerEndpoint
from aioparcs.swarm.docker.records import SwarmNetwork, SwarmTask
from aioparcs.transport import source_address

__all__ = ["AdvertisedAddress", "find_advertised_address", "free_addresses", "original_leader", "subnets"]

_ORIGINAL_PORT = 4321  # where managers of the original PARCS have their Docker API


class AdvertisedAddress(NamedTuple):
    """
    The address at which workers reach the runner.

    Attributes:
        host: the address that they connect to.
        port: the port, 0 for any.
        overlay: whether it is an address inside the overlay network, so that workers must be on it too.
    """

    host: str
    port: int
    overlay: bool


def find_advertised_address(
    leader: DockerEndpoint, network: SwarmNetwork | None, node_address: str
) -> AdvertisedAddress:
    """
    Return the address at which workers can reach this process.

    It is ``PARCS_ADVERTISE`` (``HOST`` or ``HOST:PORT``), else its own address inside the overlay network, else the
    address from which it talks to the leader.

    Args:
        leader: where the leader is.
        network: the overlay network, None if there is none.
        node_address: the address under which other nodes know the leader's.

    Raises:
        SettingError: ``PARCS_ADVERTISE`` is no address, or none can be found without it.
    """
    named = os.environ.get("PARCS_ADVERTISE")
    if named:
        return _named(named, network)
    inside = _inside(network)
    if inside:
        return AdvertisedAddress(inside, 0, True)
    url = urlsplit(leader.url)
    if url.scheme in ("unix", "npipe") or url.hostname is None:
        return AdvertisedAddress(node_address, 0, False)  # the leader is this host
    # IPv4, as overlay networks are: a leader may have an IPv6 address that nodes know nothing of.
    own = source_address(url.hostname, socket.AF_INET)
    if not own:
        raise SettingError(
            f"can't tell from which address this host talks to {url.hostname}: "
            "name one that the nodes can reach in PARCS_ADVERTISE"
        )
    return AdvertisedAddress(node_address if ip_address(own).is_loopback else own, 0, False)


def original_leader(leader: DockerEndpoint, node_address: str) -> str:
    """
    Return the leader's address for a service of the original PARCS.

    The service connects to it from its container, so a socket of this machine, or ssh, becomes the leader's own address
    with the original's port.

    Args:
        leader: where the leader is, for this process.
        node_address: the address under which other nodes know the leader's.
    """
    scheme = urlsplit(leader.url).scheme
    return f"tcp://{node_address}:{_ORIGINAL_PORT}" if scheme in ("unix", "npipe", "ssh") else leader.url


def subnets(network: SwarmNetwork) -> list[str]:
    """Return a network's subnets."""
    return [config["Subnet"] for config in (network.get("IPAM") or {}).get("Config") or () if config.get("Subnet")]


def free_addresses(network: SwarmNetwork, tasks: list[SwarmTask], nodes: int) -> int:
    """
    Return the number of a network's addresses that are left for workers.

    Each task has one, each node has one for itself, and the gateway has one; the first and the last can't be used.
    Newer versions of Docker report the number, but older ones are still in use.
    """
    room: int = sum(ip_network(subnet).num_addresses - 3 for subnet in subnets(network))
    used = sum(
        bool(attachment["Network"]["ID"] == network["Id"])
        for task in tasks
        for attachment in task.get("NetworksAttachments") or ()
    )
    return max(0, room - used - nodes)


def _named(named: str, network: SwarmNetwork | None) -> AdvertisedAddress:
    host, port = None, 0
    try:
        url = urlsplit(f"//{named}")
        host, port = url.hostname, url.port or 0
    except ValueError:
        pass  # no number for a port, for example
    if not host:
        raise SettingError(f"PARCS_ADVERTISE={named!r} is not HOST or HOST:PORT")
    return AdvertisedAddress(host, port, _is_inside(host, network))


def _inside(network: SwarmNetwork | None) -> str:
    """Return this process's address on a network, "" if it isn't on it."""
    for subnet in subnets(network) if network else ():
        own = source_address(str(ip_network(subnet)[1]), socket.AF_INET)
        if own and _is_inside(own, network):
            return own
    return ""


def _is_inside(host: str, network: SwarmNetwork | None) -> bool:
    try:
        return any(ip_address(host) in ip_network(subnet) for subnet in (subnets(network) if network else ()))
    except ValueError:  # a host's name
        return False
