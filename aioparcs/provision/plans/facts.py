"""Records of what is known about the hosts before anything is changed: the plan is made from them."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface
from typing import Any, NamedTuple

__all__ = ["IN_SWARM", "ClusterFacts", "DockerFacts", "HostFacts", "Member", "PortFailure", "read_docker", "read_facts"]

IN_SWARM = "active"
"""The state of a Docker that is a node in order."""


class Member(NamedTuple):
    """
    A node as a manager of its Swarm lists it.

    Attributes:
        id: its ID.
        manager: whether it is a manager.
        host: the label in which aioparcs keeps how to log in there, "" if it has none.
        labels: all of its labels, with their values.
    """

    id: str
    manager: bool
    host: str
    labels: tuple[tuple[str, str], ...] = ()


class DockerFacts(NamedTuple):
    """
    A host's Docker.

    Attributes:
        version: its version.
        state: ``inactive``, ``pending``, ``active``, ``error`` or ``locked``, Docker's own words.
        node: its ID in its Swarm, "" if it is in none.
        address: its address in its Swarm.
        swarm: the ID of the Swarm, "" where it is no manager.
        members: the nodes of the Swarm, none where it is no manager.
    """

    version: str
    state: str = "inactive"
    node: str = ""
    address: str = ""
    swarm: str = ""
    members: tuple[Member, ...] = ()


class HostFacts(NamedTuple):
    """
    One host.

    Attributes:
        name: the host, as the user names it.
        user: who logs in there.
        url: the address of its Docker over ssh.
        hostname: its own name.
        system: the name of its system, as people read it.
        families: the system and those that it is like, as ``os-release`` has them.
        kernel: the version of its kernel.
        machine: its architecture.
        modules: those of ``overlay``, ``vxlan`` and ``ip_vs`` that its kernel has.
        addresses: its addresses, without Docker's own.
        free: bytes that are free where Docker keeps its images.
        sudo: why ``sudo`` without a password fails, "" if it works or the user is root.
        groups: the groups of the user.
        commands: those of ``apt-get``, ``dnf``, ``docker``, ``dockerd`` and ``service`` that are there.
        systemd: whether it runs systemd.
        skew: seconds that its clock is ahead of the clock here.
        marked: the ID of the Swarm that aioparcs has put it in, "" if none.
        trusts: the registries whose certificates its Docker has been given.
        docker: its Docker, None if it does not run.
        role: the role that the user wants it to have, "" for any.
        labels: labels that the user wants its node to have.
    """

    name: str
    user: str
    url: str
    hostname: str
    system: str
    families: tuple[str, ...]
    kernel: str
    machine: str
    modules: tuple[str, ...]
    addresses: tuple[IPv4Interface, ...]
    free: int
    sudo: str
    groups: tuple[str, ...]
    commands: tuple[str, ...]
    systemd: bool
    skew: float
    marked: str
    trusts: tuple[str, ...]
    docker: DockerFacts | None
    role: str = ""
    labels: tuple[tuple[str, str], ...] = ()

    @property
    def in_swarm(self) -> bool:
        """Whether its Docker is a node of a Swarm."""
        return self.docker is not None and self.docker.state == IN_SWARM


class ClusterFacts(NamedTuple):
    """
    What there is for jobs beside the hosts: in the Swarm, and here.

    Attributes:
        network: whether the Swarm has the network of the jobs.
        registry: the address of the registry that aioparcs has made in it, "" if none.
        logged_in: whether Docker's configuration here has credentials for that one.
        image: whether the registry has the base image.
        context: the leader that the Docker context here names, "" if there is no such context.
    """

    network: bool = False
    registry: str = ""
    logged_in: bool = False
    image: bool = False
    context: str = ""


class PortFailure(NamedTuple):
    """
    A port of one host that another one can't reach.

    Attributes:
        source: who tried.
        target: whose port it is.
        address: the target's address that was tried.
        port: with its protocol, as ``7946/udp``.
        reason: what came of it.
    """

    source: str
    target: str
    address: IPv4Address
    port: str
    reason: str


def read_facts(
    name: str, user: str, url: str, found: dict[str, Any], skew: float, docker: DockerFacts | None
) -> HostFacts:
    """Return a host's facts from what the program on the host has printed."""
    release = found["release"]
    return HostFacts(
        name=name,
        user=user,
        url=url,
        hostname=found["hostname"],
        system=release.get("PRETTY_NAME") or release.get("ID") or "an unknown system",
        families=(release.get("ID", ""), *release.get("ID_LIKE", "").split()),
        kernel=found["kernel"],
        machine=found["machine"],
        modules=tuple(found["modules"]),
        addresses=tuple(map(IPv4Interface, found["addresses"])),
        free=found["free"],
        sudo=found["sudo"],
        groups=tuple(found["groups"]),
        commands=tuple(found["commands"]),
        systemd=found["systemd"],
        skew=skew,
        marked=(found["marker"] or {}).get("swarm", ""),
        trusts=tuple(found["trusts"]),
        docker=docker,
    )


def read_docker(info: dict[str, Any], nodes: list[dict[str, Any]], label: str) -> DockerFacts:
    """
    Return what is known of a Docker from its own answers.

    Args:
        info: its description of itself.
        nodes: its list of nodes, none where it is no manager.
        label: the label of nodes in which aioparcs keeps how to log in there.
    """
    swarm = info["Swarm"]
    members = [_member(node["ID"], node["Spec"], label) for node in nodes]
    return DockerFacts(
        version=info["ServerVersion"],
        state=swarm["LocalNodeState"],
        node=swarm.get("NodeID", ""),
        address=swarm.get("NodeAddr", ""),
        swarm=(swarm.get("Cluster") or {}).get("ID", ""),
        members=tuple(members),
    )


def _member(id: str, spec: dict[str, Any], label: str) -> Member:
    labels = spec.get("Labels") or {}
    return Member(id, spec.get("Role") == "manager", labels.get(label, ""), tuple(sorted(labels.items())))
