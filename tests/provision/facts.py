"""Facts of hosts for tests of the plan, and what they are after its steps."""

from ipaddress import IPv4Interface

from aioparcs.provision.plans import steps
from aioparcs.provision.plans.facts import DockerFacts, HostFacts, Member
from aioparcs.provision.plans.plan import Plan

__all__ = ["apply", "bare"]

_SWARM = "swarm1"


def bare(number: int, *, docker: bool = True) -> HostFacts:
    """Return the facts of a fresh machine, with or without a Docker that runs."""
    return HostFacts(
        name=f"node{number}",
        user="ada",
        url=f"ssh://ada@node{number}",
        hostname=f"node{number}",
        system="Debian GNU/Linux 12 (bookworm)",
        families=("debian",),
        kernel="6.1.0",
        machine="x86_64",
        modules=("overlay", "vxlan", "ip_vs"),
        addresses=(IPv4Interface(f"10.0.0.{number}/24"),),
        free=20_000_000_000,
        sudo="",
        groups=("ada",),
        commands=("apt-get", "service", *(("docker", "dockerd") if docker else ())),
        systemd=True,
        skew=0.0,
        marked="",
        trusts=(),
        docker=DockerFacts("20.10.24") if docker else None,
    )


def apply(hosts: list[HostFacts], plan: Plan, count: int | None = None) -> list[HostFacts]:
    """Return the facts after the first steps of a plan, as Docker and the executor do them; None for all."""
    found = {host.name: host for host in hosts}
    members = {member.id: member for host in hosts if host.docker for member in host.docker.members}
    for step in plan.steps[:count]:
        host = found[step.host]
        docker = host.docker or DockerFacts("20.10.24")
        match step:
            case steps.InstallDocker():
                host = host._replace(commands=(*host.commands, "docker", "dockerd"), docker=docker)
            case steps.StartDocker():
                host = host._replace(docker=docker)
            case steps.AddToGroup():
                host = host._replace(groups=(*host.groups, "docker"))
            case steps.InitSwarm() | steps.JoinSwarm():
                assert docker.state == "inactive"
                members[f"id-{host.name}"] = Member(f"id-{host.name}", getattr(step, "manager", True), "")
                docker = docker._replace(state="active", node=f"id-{host.name}", address=str(step.address))
                host = host._replace(docker=docker, marked="new" if isinstance(step, steps.InitSwarm) else host.marked)
            case steps.Promote():
                members[docker.node] = members[docker.node]._replace(manager=True)
            case steps.Mark():
                members[docker.node] = members[docker.node]._replace(host=f"ssh://ada@{host.name}")
                host = host._replace(marked=_SWARM)
            case steps.Label():
                member = members[docker.node]
                labels = tuple(sorted({**dict(member.labels), **dict(step.labels)}.items()))
                members[docker.node] = member._replace(labels=labels)
            case steps.Trust():
                host = host._replace(trusts=(step.address,))
        found[step.host] = host
    return [_as_listed(host, members) for host in found.values()]


def _as_listed(host: HostFacts, members: dict[str, Member]) -> HostFacts:
    """Return a host that knows the Swarm's nodes, if it is a manager."""
    if host.docker is None or not (own := members.get(host.docker.node)) or not own.manager:
        return host
    return host._replace(docker=host.docker._replace(swarm=_SWARM, members=tuple(members.values())))
