"""The plan: which steps make a cluster of hosts, given what is known of them. It is pure: no host is asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address
from types import MappingProxyType
from typing import NamedTuple

from aioparcs.provision.plans.checks import Problem, check_hosts, check_ports, find_addresses, packages
from aioparcs.provision.plans.facts import ClusterFacts, HostFacts, PortFailure
from aioparcs.provision.plans.hosts import MANAGER, WORKER
from aioparcs.provision.plans.steps import (
    HERE,
    AddToGroup,
    BuildImage,
    CreateContext,
    CreateNetwork,
    CreateRegistry,
    InitSwarm,
    InstallDocker,
    JoinSwarm,
    Label,
    LogIn,
    Mark,
    Promote,
    StartDocker,
    Step,
    Trust,
)

__all__ = ["NEW", "Dial", "Plan", "Wishes", "dials", "leader", "manager_count", "no_manager", "plan_up", "registry_of"]

NEW = "new"
"""What marks a host on which a Swarm is being made, before it has an ID."""

_SWARM, _GOSSIP, _VXLAN = ("tcp", 2377), (("tcp", 7946), ("udp", 7946)), ("udp", 4789)
_REGISTRY = ("tcp", 5000)
_THREE_FROM = 5  # hosts: with fewer, two managers more cost more than the death of one


class Dial(NamedTuple):
    """
    A port of one host that another one needs.

    Attributes:
        source: the host that needs it.
        target: whose port it is.
        address: the target's address.
        protocol: ``tcp`` or ``udp``.
        port: the port.
    """

    source: str
    target: str
    address: IPv4Address
    protocol: str
    port: int


class Wishes(NamedTuple):
    """
    What the user wants of a cluster, beside its hosts.

    Attributes:
        network: the name of the network of the jobs.
        registry: a registry that there is, "" for one that is made.
        python: the image with Python that the base image is built on.
        context: the name of the Docker context.
        addresses: addresses of hosts that are named, by host.
        only_hosts: leave all but the hosts as it is, as when some are added.
    """

    network: str
    registry: str = ""
    python: str = ""
    context: str = ""
    addresses: Mapping[str, str] = MappingProxyType({})
    only_hosts: bool = False


class Plan(NamedTuple):
    """
    What is in the way of a cluster, or else what makes it.

    Attributes:
        problems: what is wrong; there are no steps if one of them is fatal.
        managers: the hosts that are, or will be, managers; the first is the leader of what follows.
        stages: steps; those of a stage are done at once, except that a host does its own in order.
    """

    problems: tuple[Problem, ...]
    managers: tuple[str, ...]
    stages: tuple[tuple[Step, ...], ...]

    @property
    def fatal(self) -> bool:
        """Whether something is in the way."""
        return any(problem.fatal for problem in self.problems)

    @property
    def steps(self) -> tuple[Step, ...]:
        """All steps, in order."""
        return tuple(step for stage in self.stages for step in stage)


def manager_count(hosts: int) -> int:
    """Return how many managers a cluster has: 1, and from 5 hosts on 3, so that it survives the death of one."""
    return 3 if hosts >= _THREE_FROM else 1


def leader(hosts: Sequence[HostFacts]) -> HostFacts:
    """Return the manager that is asked about the Swarm, or that makes it."""
    first = _managers(hosts)[0]
    return next(host for host in hosts if host.name == first)


def no_manager(hosts: Sequence[HostFacts]) -> tuple[Problem, ...]:
    """Return a problem if the hosts have no manager, and each of them is to be a worker."""
    if _managers(hosts):
        return ()
    names = ", ".join(host.name for host in hosts)
    return (Problem(names, "all are to be workers", f"one of them must be a {MANAGER}, or have no role"),)


def registry_of(hosts: Sequence[HostFacts], wishes: Wishes, cluster: ClusterFacts) -> str:
    """Return the registry of a cluster: the user's, the one that was made, or the one to be made; "" if unknown."""
    addresses, _ = find_addresses(hosts, wishes.addresses)
    own = addresses.get(leader(hosts).name)
    return wishes.registry or cluster.registry or (f"{own}:{_REGISTRY[1]}" if own else "")


def dials(hosts: Sequence[HostFacts], wishes: Wishes) -> list[Dial]:
    """Return the ports that the hosts need of each other: some of all, others of managers, the registry's of one."""
    addresses, _ = find_addresses(hosts, wishes.addresses)
    managers = _managers(hosts)
    needed = []
    for target, address in addresses.items():
        own = [_REGISTRY] if target == leader(hosts).name and not wishes.registry and not wishes.only_hosts else []
        ports = (*([_SWARM] if target in managers else []), *_GOSSIP, _VXLAN, *own)
        needed += [
            Dial(source, target, address, *port) for source in addresses if source != target for port in ports
        ]  # fmt: skip
    return needed


def plan_up(
    hosts: Sequence[HostFacts], unreachable: Sequence[PortFailure], cluster: ClusterFacts, wishes: Wishes
) -> Plan:
    """
    Plan a cluster.

    Args:
        hosts: all of its hosts; the first ones become managers, unless there are some already.
        unreachable: the ports of `dials` that can't be reached.
        cluster: what there is for jobs already.
        wishes: what the user wants.
    """
    addresses, missing = find_addresses(hosts, wishes.addresses)
    managers = _managers(hosts)
    problems = (*check_hosts(hosts), *missing, *_foreign(hosts), *check_ports(unreachable), *_even(managers))
    if any(problem.fatal for problem in problems):
        return Plan(problems, managers, ())
    stages = [_prepare(hosts, managers), *_gather(hosts, managers, addresses)]
    own = registry_of(hosts, wishes, cluster)
    if wishes.only_hosts:
        stages.append(_trust(hosts, cluster.registry, cluster) if cluster.registry else ())
    else:
        stages += _furnish(hosts, cluster, wishes, own)
    return Plan(problems, managers, tuple(stage for stage in stages if stage))


def _own(hosts: Sequence[HostFacts]) -> HostFacts | None:
    """Return a manager of the Swarm that aioparcs has made of some of the hosts, None if there is none."""
    for host in hosts:
        if host.docker and host.docker.swarm and host.marked in (host.docker.swarm, NEW):
            return host
    return None


def _members(hosts: Sequence[HostFacts]) -> dict[str, bool]:
    """Return the nodes of that Swarm by their IDs, and whether they are managers."""
    own = _own(hosts)
    return {member.id: member.manager for member in own.docker.members} if own and own.docker else {}


def _is_member(host: HostFacts, members: Mapping[str, bool]) -> bool:
    return host.in_swarm and host.docker is not None and host.docker.node in members


def _foreign(hosts: Sequence[HostFacts]) -> list[Problem]:
    """Return the hosts that are in another Swarm, which they are never removed from."""
    members, problems = _members(hosts), []
    for host in hosts:
        if host.in_swarm and host.docker and not _is_member(host, members):
            which = f"the Swarm {host.docker.swarm}" if host.docker.swarm else "a Swarm"
            text = f"is in {which} already, which aioparcs did not make with these hosts"
            advice = "docker swarm leave --force there, if it is not needed; or use that Swarm: aioparcs cluster init"
            problems.append(Problem(host.name, text, advice))
    return problems


def _even(managers: Sequence[str]) -> list[Problem]:
    if len(managers) % 2:
        return []
    text = f"{len(managers)} managers survive no more deaths than {len(managers) - 1}: more than half must be up"
    return [Problem(", ".join(managers), text, "an odd number of managers is better", fatal=False)]


def _managers(hosts: Sequence[HostFacts]) -> tuple[str, ...]:
    """Return the managers that there are, then those that the user wants, or else the first ones that are enough."""
    members = _members(hosts)
    present = [host.name for host in hosts if host.docker and members.get(host.docker.node)]
    own = _own(hosts)
    if own:
        present = [own.name, *(name for name in present if name != own.name)]
    total = len(members.keys() | {host.name for host in hosts if not _is_member(host, members)})
    lacking = manager_count(total) - sum(members.values())
    others = [host for host in hosts if host.name not in present]
    if any(host.role == MANAGER for host in hosts):
        chosen = [host.name for host in others if host.role == MANAGER]
    else:
        chosen = [host.name for host in others if host.role != WORKER][: max(lacking, 0)]
    return (*present, *chosen)


def _prepare(hosts: Sequence[HostFacts], managers: Sequence[str]) -> tuple[Step, ...]:
    """Return the steps that each host takes by itself."""
    steps: list[Step] = []
    for host in hosts:
        known = packages(host)
        if (known and not (host.docker or "dockerd" in host.commands)) or (known and "docker" not in host.commands):
            steps.append(InstallDocker(host.name, *known))
        if not host.docker:
            steps.append(StartDocker(host.name))
        if host.name in managers and host.user != "root" and "docker" not in host.groups:
            steps.append(AddToGroup(host.name, host.user))
    return tuple(steps)


def _gather(
    hosts: Sequence[HostFacts], managers: Sequence[str], addresses: Mapping[str, IPv4Address]
) -> list[tuple[Step, ...]]:
    """Return the steps that bring the hosts into one Swarm."""
    members, first = _members(hosts), managers[0]
    stages: list[tuple[Step, ...]] = []
    if not members:
        stages.append((InitSwarm(first, addresses[first]),))
    for host in hosts:
        if host.name == first and not members:
            continue
        if not _is_member(host, members) and host.name in managers:
            stages.append((JoinSwarm(host.name, addresses[host.name], first, manager=True),))  # one after another
        elif host.name in managers and host.docker and not members[host.docker.node]:
            stages.append((Promote(host.name, first),))
    new = [host for host in hosts if not _is_member(host, members) and host.name not in managers]
    stages.append(tuple(JoinSwarm(host.name, addresses[host.name], first, manager=False) for host in new))
    stages.append(tuple(Mark(host.name, first) for host in hosts if not _is_marked(host, members, hosts)))
    missing = {host.name: _missing_labels(host, hosts) for host in hosts}
    stages.append(tuple(Label(name, first, labels) for name, labels in missing.items() if labels))
    return stages


def _missing_labels(host: HostFacts, hosts: Sequence[HostFacts]) -> tuple[tuple[str, str], ...]:
    """Return the labels that the user wants a host's node to have, and that it lacks or has with another value."""
    own = _own(hosts)
    members = own.docker.members if own and own.docker else ()
    present = {label for member in members if host.docker and member.id == host.docker.node for label in member.labels}
    return tuple(label for label in host.labels if label not in present)


def _trust(hosts: Sequence[HostFacts], registry: str, cluster: ClusterFacts) -> tuple[Step, ...]:
    """Return the steps that give the hosts the certificate of the cluster's own registry, which the leader has."""
    first = leader(hosts)
    without = [host for host in hosts if host is not first and (registry not in host.trusts or not cluster.registry)]
    return tuple(Trust(host.name, registry, first.name) for host in without)


def _furnish(
    hosts: Sequence[HostFacts], cluster: ClusterFacts, wishes: Wishes, registry: str
) -> list[tuple[Step, ...]]:
    """Return the steps that provide what jobs need: network, registry, base image, and the way to the leader."""
    first = leader(hosts)
    stages: list[tuple[Step, ...]] = []
    if not cluster.network:
        stages.append((CreateNetwork(first.name, wishes.network),))
    if not wishes.registry:
        if not cluster.registry:
            stages.append((CreateRegistry(first.name, registry),))
        stages.append(_trust(hosts, registry, cluster))
        if not cluster.logged_in or not cluster.registry:
            stages.append((LogIn(HERE, registry, first.name),))
    if not cluster.image:
        stages.append((BuildImage(first.name, registry, wishes.python),))
    if cluster.context != first.url:
        stages.append((CreateContext(HERE, wishes.context, first.url, first.name),))
    return stages


def _is_marked(host: HostFacts, members: Mapping[str, bool], hosts: Sequence[HostFacts]) -> bool:
    own = _own(hosts)
    if own is None or own.docker is None or not _is_member(host, members) or host.docker is None:
        return False
    labels = {member.id: member.host for member in own.docker.members}
    return host.marked == own.docker.swarm and bool(labels[host.docker.node])
