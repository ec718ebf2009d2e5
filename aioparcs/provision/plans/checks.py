"""The checks of the hosts: what is in the way of a cluster, where, and what to do about it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from ipaddress import IPv4Address
from typing import NamedTuple

from aioparcs.provision.plans.facts import HostFacts, PortFailure

__all__ = ["Problem", "check_hosts", "check_ports", "find_addresses", "packages"]

_ROOM = 3_000_000_000  # bytes for Docker and the images of some modules
_SKEW = 30.0  # seconds between two clocks: certificates and the ages of jobs go wrong long after that
_OLDEST = (19, 3)
_NEEDED = {"overlay": "its containers' files", "vxlan": "networks between hosts"}
_BROKEN = {
    "pending": "is waiting for its Swarm's managers: start them, or docker swarm leave --force there",
    "error": "has lost its Swarm: docker swarm leave --force there",
    "locked": "is a manager of a locked Swarm: docker swarm unlock there",
}


class Problem(NamedTuple):
    """
    Something that is in the way.

    Attributes:
        host: where.
        text: what it is.
        advice: what to do about it.
        fatal: False for what only limits the cluster.
    """

    host: str
    text: str
    advice: str
    fatal: bool = True


def packages(host: HostFacts) -> tuple[str, str, str] | None:
    """Return the package manager that installs Docker on a host, Docker's package and its client's; None if unknown."""
    if {"debian", "ubuntu"} & set(host.families) and "apt-get" in host.commands:
        return "apt-get", "docker.io", "docker-cli"
    if host.families[0] == "fedora" and "dnf" in host.commands:
        return "dnf", "moby-engine", "docker-cli"
    return None


def check_hosts(hosts: Sequence[HostFacts]) -> list[Problem]:
    """Return what is wrong with the hosts, each by itself and together."""
    found = [problem for host in hosts for check in _CHECKS for problem in check(host)]
    return [*found, *_clocks(hosts), *_machines(hosts), *_names(hosts)]


def find_addresses(
    hosts: Sequence[HostFacts], given: Mapping[str, str]
) -> tuple[dict[str, IPv4Address], list[Problem]]:
    """
    Return the address of each host in the network that they share, and what is wrong with them.

    It is the given one; that of its Swarm; its only one; its only private one; its only one in a subnet in which all of
    the others have one, too; or the one that it is named by.
    """
    addresses: dict[str, IPv4Address] = {}
    problems = []
    for host in hosts:
        candidates = _candidates(host, hosts)
        if named := given.get(host.name):
            addresses[host.name] = IPv4Address(named)
        elif host.in_swarm and host.docker and host.docker.address:
            addresses[host.name] = IPv4Address(host.docker.address)
        elif len(candidates) == 1:
            (addresses[host.name],) = candidates
        else:
            several = ", ".join(map(str, candidates))
            text = f"has several addresses, {several}" if candidates else "has no IPv4 address that others could reach"
            problems.append(Problem(host.name, text, "name it by the address at which the others reach it"))
    return addresses, [*problems, *_twice(addresses)]


def check_ports(failures: Sequence[PortFailure]) -> list[Problem]:
    """Return a problem for each pair of hosts of which one can't reach ports of the other."""
    pairs: dict[tuple[str, str], list[PortFailure]] = {}
    for failure in failures:
        pairs.setdefault((failure.source, failure.target), []).append(failure)
    return [_unreachable(found) for found in pairs.values()]


def _unreachable(failures: Sequence[PortFailure]) -> Problem:
    first = failures[0]
    ports = ", ".join(failure.port for failure in failures)
    reasons = ", ".join(dict.fromkeys(failure.reason for failure in failures))
    text = f"can't reach {first.target} ({first.address}) on {ports}: {reasons}"
    return Problem(
        first.source, text, f"open {ports} in {first.target}'s firewall, and in the cloud's, for {first.source}"
    )


def _candidates(host: HostFacts, hosts: Sequence[HostFacts]) -> list[IPv4Address]:
    if len(host.addresses) > 1:
        private = [one.ip for one in host.addresses if one.ip.is_private]
        if len(private) == 1:
            return private
        shared = [
            one.ip
            for one in host.addresses
            if all(any(its.ip in one.network for its in other.addresses) for other in hosts)
        ]
        if len(hosts) > 1 and len(shared) == 1:
            return shared
        named = [one.ip for one in host.addresses if str(one.ip) == host.name]
        if named:
            return named
    return [one.ip for one in host.addresses]


def _twice(addresses: Mapping[str, IPv4Address]) -> Iterator[Problem]:
    owners: dict[IPv4Address, str] = {}
    for name, address in addresses.items():
        if address in owners:
            text = f"has the same address as {owners[address]}, {address}"
            yield Problem(name, text, "name each machine once")
        owners.setdefault(address, name)


def _sudo(host: HostFacts) -> Iterator[Problem]:
    if host.sudo:
        advice = (
            f"as root there: echo '{host.user} ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/{host.user}; or --user root"
        )
        yield Problem(host.name, f"sudo does not let {host.user} be root without a password: {host.sudo}", advice)


def _kernel(host: HostFacts) -> Iterator[Problem]:
    for name, use in _NEEDED.items():
        if name not in host.modules:
            advice = "install the kernel that the distribution has for servers and clouds, with its modules, and reboot"
            yield Problem(host.name, f"its kernel, {host.kernel}, has no module {name}, which {use} need", advice)
    if "ip_vs" not in host.modules:
        text = f"its kernel, {host.kernel}, has no module ip_vs"
        yield Problem(
            host.name, text, "jobs need none; other Swarm services are reached by mode dnsrr only", fatal=False
        )


def _disk(host: HostFacts) -> Iterator[Problem]:
    if host.free < _ROOM and not host.marked:  # in a cluster that works it's not for `up` to say
        text = f"only {host.free / 1e9:.1f} GB are free in /var/lib/docker"
        yield Problem(host.name, text, f"make room: Docker and its images need {_ROOM / 1e9:.0f} GB")


def _docker(host: HostFacts) -> Iterator[Problem]:
    if host.docker is None:
        if "dockerd" not in host.commands and packages(host) is None:
            advice = "install Docker there, see docs.docker.com/engine/install, and run this again"
            yield Problem(
                host.name, f"has no Docker, and {host.system} has no package of it that is known here", advice
            )
        return
    if _version(host.docker.version) < _OLDEST:
        yield Problem(host.name, f"has Docker {host.docker.version}, which is too old", "install 20.10 or newer there")
    if host.docker.state in _BROKEN:
        what, _, advice = _BROKEN[host.docker.state].partition(": ")
        yield Problem(host.name, f"Docker there {what}", advice)


def _version(text: str) -> tuple[int, ...]:
    parts = text.split("+")[0].split("-")[0].split(".")
    return tuple(int(part) if part.isdigit() else 0 for part in parts[:2])


_CHECKS: tuple[Callable[[HostFacts], Iterator[Problem]], ...] = (_sudo, _kernel, _disk, _docker)


def _clocks(hosts: Sequence[HostFacts]) -> Iterator[Problem]:
    middle = sorted(host.skew for host in hosts)[len(hosts) // 2]
    for host in hosts:
        if abs(off := host.skew - middle) > _SKEW:
            text = f"its clock is {abs(off):.0f} s {'ahead of' if off > 0 else 'behind'} the others'"
            yield Problem(host.name, text, "timedatectl set-ntp true there")


def _machines(hosts: Sequence[HostFacts]) -> Iterator[Problem]:
    for host in hosts[1:]:
        if host.machine != hosts[0].machine:
            text = f"is {host.machine}, and {hosts[0].name} is {hosts[0].machine}"
            yield Problem(host.name, text, "images are built for one architecture: use hosts of the same")


def _names(hosts: Sequence[HostFacts]) -> Iterator[Problem]:
    owners: dict[str, str] = {}
    for host in hosts:
        if host.hostname in owners:
            text = f"is called {host.hostname}, as {owners[host.hostname]} is"
            yield Problem(host.name, text, "hostnamectl set-hostname OTHER, to tell them apart", fatal=False)
        owners.setdefault(host.hostname, host.name)
