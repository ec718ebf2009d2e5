"""
The cluster's network: a switch in a network namespace of its own, and a cable from it to each node and to this machine.

This machine has one end of one cable and none of the bridge, so whatever firewall it has, or a dockerd of its own
makes, never sees what the nodes say to each other. Nothing here touches its rules.
"""

import ipaddress
import json
import os

from tests.cluster import namespaces
from tests.cluster.command import ClusterError, execute

__all__ = [
    "BRIDGE",
    "OVERLAY",
    "SWITCH",
    "cap",
    "choose_subnet",
    "is_cut",
    "is_laid",
    "lay",
    "plug",
    "set_port",
    "uncap",
    "unplug_machine",
]

SWITCH = namespaces.PREFIX + "switch"
"""The namespace of the bridge; the registry lives there too."""

BRIDGE = "bridge"
"""The bridge in it, on which each cable has a port."""

OVERLAY = "10.77.0.0/20"
"""The subnet of the overlay `parcs`: room for 4,000 workers."""

_MACHINE = "parcs0"  # this machine's end of its cable
_CANDIDATES = [ipaddress.IPv4Network(f"10.213.{number}.0/24") for number in range(100, 200)]


def choose_subnet() -> str:
    """Choose addresses that nothing on this machine uses: .1 is this machine, .2 the registry, .11 node 1."""
    taken = [
        ipaddress.IPv4Network(f"{address['local']}/{address['prefixlen']}", strict=False)
        for link in json.loads(execute("ip", "-j", "-4", "addr"))
        for address in link["addr_info"]
    ]
    routes = json.loads(execute("ip", "-j", "-4", "route"))
    taken += [ipaddress.IPv4Network(route["dst"]) for route in routes if route["dst"] != "default"]
    for candidate in _CANDIDATES:
        if not any(candidate.overlaps(network) for network in taken):
            return str(candidate)
    raise ClusterError(f"no free addresses: this machine uses all of {_CANDIDATES[0]} to {_CANDIDATES[-1]}")


def is_laid() -> bool:
    """Return whether the switch is there and this machine plugged in."""
    return namespaces.exists(SWITCH) and _MACHINE in os.listdir("/sys/class/net")


def lay(machine: str, registry: str) -> None:
    """Create the switch, with the registry's address, and this machine's cable, or what is missing of them."""
    namespaces.add(SWITCH)
    if BRIDGE not in _links(SWITCH):
        execute("ip", "-n", SWITCH, "link", "add", BRIDGE, "type", "bridge")
    execute("ip", "-n", SWITCH, "addr", "replace", f"{registry}/24", "dev", BRIDGE)
    execute("ip", "-n", SWITCH, "link", "set", BRIDGE, "up")
    if _MACHINE not in os.listdir("/sys/class/net"):
        execute("ip", "link", "add", _MACHINE, "type", "veth", "peer", "name", "machine", "netns", SWITCH)
    execute("ip", "-n", SWITCH, "link", "set", "machine", "master", BRIDGE, "up")
    execute("ip", "addr", "replace", f"{machine}/24", "dev", _MACHINE)
    execute("ip", "link", "set", _MACHINE, "up")


def plug(name: str, address: str) -> None:
    """Create a node's namespace and its cable to the switch, or what is missing of them."""
    node = namespaces.PREFIX + name
    namespaces.add(node)
    if name not in _links(SWITCH):
        execute("ip", "-n", SWITCH, "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", node)
        execute("ip", "-n", SWITCH, "link", "set", name, "master", BRIDGE, "up")
    execute("ip", "-n", node, "addr", "replace", f"{address}/24", "dev", "eth0")
    execute("ip", "-n", node, "link", "set", "eth0", "up")


def set_port(name: str, *, forwards: bool) -> None:
    """Set whether the switch forwards a node's packets or drops them silently, in both directions."""
    # Off the bridge, but with the carrier up: a port's own state is set back by the kernel at once.
    execute("ip", "-n", SWITCH, "link", "set", "dev", name, *(("master", BRIDGE) if forwards else ("nomaster",)))


def cap(name: str, rate: str) -> None:
    """Limit the rate of a node's cable, in each direction, as ``tc`` writes it: ``1gbit``."""
    for tc, device in _cable(name):
        execute(*tc, "replace", "dev", device, "root", "tbf", "rate", rate, "burst", "1mb", "latency", "50ms")


def uncap(name: str) -> None:
    """Remove the limit of a node's cable."""
    for tc, device in _cable(name):
        if " tbf " in execute(*tc, "show", "dev", device):
            execute(*tc, "del", "dev", device, "root")


def _cable(name: str) -> list[tuple[tuple[str, ...], str]]:
    """Name both ends of a node's cable, each with the command that shapes what leaves there."""
    return [(("tc", "-n", SWITCH, "qdisc"), name), (("tc", "-n", namespaces.PREFIX + name, "qdisc"), "eth0")]


def is_cut(name: str) -> bool:
    """Return whether the switch drops a node's packets."""
    (link,) = json.loads(execute("ip", "-n", SWITCH, "-j", "link", "show", "dev", name))
    return "master" not in link


def unplug_machine() -> None:
    """Remove this machine's cable, with its address."""
    if _MACHINE in os.listdir("/sys/class/net"):
        execute("ip", "link", "del", _MACHINE)


def _links(namespace: str) -> set[str]:
    return {link["ifname"] for link in json.loads(execute("ip", "-n", namespace, "-j", "link"))}
