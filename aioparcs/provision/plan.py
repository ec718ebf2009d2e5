"""The plan: which steps make a cluster of hosts, given what is known of them. It is pure: no host is asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address
from typing import NamedTuple

from aioparcs.provision.checks import Problem, check_hosts, check_ports, find_addresses, packages
from aioparcs.provision.facts import HostFacts, PortFailure
from aioparcs.provision.steps import (
    AddToGroup,
    CreateNetwork,
    InitSwarm,
    InstallDocker,
    JoinSwarm,
    Mark,
    Promote,
    StartDocker,
    Step,
)

__all__ = ["NEW", "Dial", "Plan", "dials", "manager_count", "plan_up"]

NEW = "new"
"""What marks a host on which a Swarm is being made, before it has an ID."""

_SWARM, _GOSSIP, _VXLAN = ("tcp", 2377), (("tcp", 7946), ("udp", 7946)), ("udp", 4789)
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


def dials(hosts: Sequence[HostFacts], given: Mapping[str, str]) -> list[Dial]:
    """Return the ports that the hosts need of each other: 2377/tcp of managers, the others of all."""
    addresses, _ = find_addresses(hosts, given)
    managers = _managers(hosts)
    needed = []
    for target, address in addresses.items():
        ports = (*([_SWARM] if target in managers else []), *_GOSSIP, _VXLAN)
        needed += [
            Dial(source, target, address, *port) for source in addresses if source != target for port in ports
        ]  # fmt: skip
    return needed


def plan_up(hosts: Sequence[HostFacts], unreachable: Sequence[PortFailure], network: str | None, *,
            given: Mapping[str, str]) -> Plan:  # fmt: skip
    """
    Plan a cluster.

    Args:
        hosts: all of its hosts; the first ones become managers, unless there are some already.
        unreachable: the ports of `dials` that can't be reached.
        network: the name of the network if it is to be created, None if it is there.
        given: addresses that the user has named, by host.
    """
    addresses, missing = find_addresses(hosts, given)
    problems = (*check_hosts(hosts), *missing, *_foreign(hosts), *check_ports(unreachable))
    managers = _managers(hosts)
    if any(problem.fatal for problem in problems):
        return Plan(problems, managers, ())
    stages = [_prepare(hosts, managers), *_gather(hosts, managers, addresses)]
    if network:
        stages.append((CreateNetwork(managers[0], network),))
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


def _managers(hosts: Sequence[HostFacts]) -> tuple[str, ...]:
    """Return the managers that there are, then hosts in their order, until there are enough."""
    members = _members(hosts)
    present = [host.name for host in hosts if host.docker and members.get(host.docker.node)]
    own = _own(hosts)
    if own:
        present = [own.name, *(name for name in present if name != own.name)]
    total = len(members.keys() | {host.name for host in hosts if not _is_member(host, members)})
    lacking = manager_count(total) - sum(members.values())
    others = [host.name for host in hosts if host.name not in present]
    return (*present, *others[: max(lacking, 0)])


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
    members, leader = _members(hosts), managers[0]
    stages: list[tuple[Step, ...]] = []
    if not members:
        stages.append((InitSwarm(leader, addresses[leader]),))
    for host in hosts:
        if host.name == leader and not members:
            continue
        if not _is_member(host, members) and host.name in managers:
            stages.append((JoinSwarm(host.name, addresses[host.name], leader, manager=True),))  # one after another
        elif host.name in managers and host.docker and not members[host.docker.node]:
            stages.append((Promote(host.name, leader),))
    new = [host for host in hosts if not _is_member(host, members) and host.name not in managers]
    stages.append(tuple(JoinSwarm(host.name, addresses[host.name], leader, manager=False) for host in new))
    stages.append(tuple(Mark(host.name, leader) for host in hosts if not _is_marked(host, members, hosts)))
    return stages


def _is_marked(host: HostFacts, members: Mapping[str, bool], hosts: Sequence[HostFacts]) -> bool:
    own = _own(hosts)
    if own is None or own.docker is None or not _is_member(host, members) or host.docker is None:
        return False
    labels = {member.id: member.host for member in own.docker.members}
    return host.marked == own.docker.swarm and bool(labels[host.docker.node])
