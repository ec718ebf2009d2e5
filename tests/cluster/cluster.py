"""The whole cluster: brought up, described and taken down."""

import json
import os
import shutil
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from ipaddress import IPv4Network

from aioparcs.settings import VERSION
from tests.cluster import base, cgroups, debian, image, namespaces, network, packages, swarm
from tests.cluster.command import ClusterError
from tests.cluster.node import Node
from tests.cluster.places import Places
from tests.cluster.registry import PORT, Registry

__all__ = ["Cluster", "down", "obstacle", "up"]

_MACHINE, _REGISTRY, _FIRST_NODE = 1, 2, 11  # last numbers of addresses


@dataclass(frozen=True, slots=True)
class Cluster:
    """
    A swarm of nodes on this machine, with a registry.

    Attributes:
        nodes: the first is the leader.
        machine: the address of this machine that nodes and containers can dial.
        registry: the registry that all nodes pull from.
    """

    nodes: tuple[Node, ...]
    machine: str
    registry: Registry

    @classmethod
    def here(cls) -> "Cluster | None":
        """Find the cluster that is up, or half up, on this machine."""
        places = Places.here()
        try:
            record = json.loads(places.record.read_text())
        except FileNotFoundError:
            return None
        return cls.planned(places, record["subnet"], record["nodes"]) if network.is_laid() else None

    @classmethod
    def planned(cls, places: Places, subnet: str, count: int) -> "Cluster":
        """Return the parts of a cluster; none of them need be there."""
        addresses = IPv4Network(subnet)
        manager = Node("node1", "", places.node("node1"), places.node("node1")).socket
        nodes = [
            Node(f"node{i + 1}", str(addresses[_FIRST_NODE + i]), places.node(f"node{i + 1}"), manager)
            for i in range(count)
        ]
        registry = Registry(f"{addresses[_REGISTRY]}:{PORT}", places.cache / "registry", places.run)
        return cls(tuple(nodes), str(addresses[_MACHINE]), registry)

    @property
    def leader(self) -> Node:
        """The manager of the swarm."""
        return self.nodes[0]

    @property
    def image(self) -> str:
        """The image that modules are built from."""
        return f"{self.registry.address}/{image.NAME}:{VERSION}"

    @property
    def base(self) -> str:
        """The Python base image below it."""
        return f"{self.registry.address}/{base.NAME}:{base.TAG}"


def obstacle() -> str | None:
    """Return the reason why there can be no cluster here, or None."""
    if not sys.platform.startswith("linux"):
        return "a cluster needs Linux"
    if os.geteuid():
        return "a cluster needs root: run it with sudo"
    return None


def up(count: int, say: Callable[[str], None]) -> Cluster:
    """
    Bring the cluster up, or what is missing of it.

    Args:
        count: how many nodes; one that is up already grows to that, never shrinks.
        say: is told each step that takes time.

    Raises:
        ClusterError: it can't be brought up; what is there stays for the next try or for `down`.
    """
    _require_root()
    places = Places.here()
    with places.locked():
        cluster = _plan(places, count)
        if missing := packages.provide(places.run):
            say(f"installed {', '.join(missing)}")
        network.lay(cluster.machine, cluster.registry.address.partition(":")[0])
        cluster.registry.start()
        with ThreadPoolExecutor() as pool:  # all of it waits for files and packages most of the time
            making = [pool.submit(make, cluster, places, say) for make in (_make_base, _make_wheels)]
            _start_nodes(cluster, say)
            for one in making:
                one.result()
        _provide_images(cluster, places, say)
    return cluster


def down() -> bool:
    """
    Stop and remove all parts of a cluster, also of one that is incomplete; return False if there are none.

    The cache stays.

    Raises:
        ClusterError: something can't be removed.
    """
    _require_root()
    places = Places.here()
    with places.locked():
        return _remove(places)


def _require_root() -> None:
    if reason := obstacle():
        raise ClusterError(reason)


def _plan(places: Places, count: int) -> Cluster:
    """Return the cluster that is there; else remove what is left of one, and choose addresses."""
    present = Cluster.here()
    if present:
        subnet = str(IPv4Network(f"{present.machine}/24", strict=False))
        count = max(count, len(present.nodes))
    else:
        _remove(places)
        subnet = network.choose_subnet()
    places.run.mkdir(parents=True, exist_ok=True)
    fresh = places.record.with_suffix(".new")
    fresh.write_text(json.dumps({"subnet": subnet, "nodes": count}))
    fresh.replace(places.record)
    return Cluster.planned(places, subnet, count)


def _start_nodes(cluster: Cluster, say: Callable[[str], None]) -> None:
    if not all(node.answers() for node in cluster.nodes):
        say(f"starting {len(cluster.nodes)} nodes")
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda node: node.start(cluster.registry.address), cluster.nodes))
        list(pool.map(Node.wait_answers, cluster.nodes))
    swarm.join(list(cluster.nodes))
    swarm.provide_overlay(cluster.leader)


def _make_base(cluster: Cluster, places: Places, say: Callable[[str], None]) -> None:
    if not base.is_current(cluster.registry):
        say("making the Python base image from Debian's packages")
        debian.provide(places.cache)


def _make_wheels(cluster: Cluster, _places: Places, say: Callable[[str], None]) -> None:
    if not (base.is_current(cluster.registry) and image.is_current(cluster.registry)):  # it is built on the base
        say("gathering the packages that aioparcs requires")
        image.make_wheels()


def _provide_images(cluster: Cluster, places: Places, say: Callable[[str], None]) -> None:
    leader, registry = cluster.leader, cluster.registry
    if not base.is_current(registry):
        base.provide(leader, registry, places.cache)
    if not image.is_current(registry):
        say("building the image of aioparcs")
        image.provide(leader, registry, cluster.base)
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda node: node.docker("pull", "--quiet", cluster.image, timeout=300), cluster.nodes))


def _remove(places: Places) -> bool:
    found = namespaces.existing()
    network.unplug_machine()
    for name in found:
        namespaces.remove(name)
        cgroups.remove(name.removeprefix(namespaces.PREFIX))
    if not places.run.exists():
        return bool(found)
    Registry("", places.cache / "registry", places.run).tidy()
    shutil.rmtree(places.run)
    return True
