"""The nodes of a Swarm as its leader lists them, with the hosts that aioparcs has put there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from aioparcs.errors import SettingError
from aioparcs.provision.plans.hosts import Host

__all__ = ["LABEL", "Node", "find_node", "read_nodes"]

LABEL = "io.aioparcs.host"
"""The label of a node that says how to log in there."""


class Node(NamedTuple):
    """
    One node.

    Attributes:
        id: its ID.
        hostname: its own name.
        url: the address of its Docker over ssh, "" if aioparcs has not put it into the Swarm.
        address: its address in the Swarm.
        manager: whether it is a manager.
        state: ``ready``, ``down``, ``unknown`` or ``disconnected``, in Docker's words.
        availability: ``active``, ``pause`` or ``drain``.
        docker: the version of its Docker.
        cpus: how many CPUs it has.
        memory: how many bytes of memory.
    """

    id: str
    hostname: str
    url: str
    address: str
    manager: bool
    state: str
    availability: str
    docker: str
    cpus: float
    memory: int

    @property
    def host(self) -> Host | None:
        """How to log in there; None if aioparcs has not put it into the Swarm."""
        parts = urlsplit(self.url)
        if not parts.hostname:
            return None
        name = parts.netloc.rpartition("@")[2].partition(":")[0]  # as it was written: `hostname` is in lower case
        return Host(name, parts.username or "", parts.port or 0)

    @property
    def name(self) -> str:
        """Its name for the user: the one that it was given in the command line, if any."""
        return self.host.name if self.host else self.hostname


def read_nodes(listed: Iterable[Mapping[str, Any]]) -> list[Node]:
    """Return the nodes of a list of Docker's, managers first, then by their names."""
    nodes = map(_read, listed)
    return sorted(nodes, key=lambda node: (not node.manager, node.hostname))


def find_node(nodes: Sequence[Node], name: str) -> Node:
    """
    Return the node that a user names: by its name in the command line, its host name or its address.

    Raises:
        SettingError: there is none, or several.
    """
    found = [node for node in nodes if name in (node.name, node.hostname, node.address, node.id)]
    if len(found) != 1:
        names = ", ".join(node.name for node in nodes)
        raise SettingError(f"{'several nodes are' if found else 'no node is'} called {name!r}; there are: {names}")
    return found[0]


def _read(node: Mapping[str, Any]) -> Node:
    spec, description = node["Spec"], node["Description"]
    resources = description.get("Resources") or {}
    return Node(
        id=node["ID"],
        hostname=description["Hostname"],
        url=(spec.get("Labels") or {}).get(LABEL, ""),
        address=node["Status"].get("Addr", ""),
        manager=spec["Role"] == "manager",
        state=node["Status"]["State"],
        availability=spec["Availability"],
        docker=(description.get("Engine") or {}).get("EngineVersion", ""),
        cpus=resources.get("NanoCPUs", 0) / 1e9,
        memory=resources.get("MemoryBytes", 0),
    )
