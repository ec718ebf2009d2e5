"""Bringing a cluster up: the hosts are looked at, and the plan is made of what they are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import NamedTuple

from aioparcs.modules.images import base_image
from aioparcs.provision import registry
from aioparcs.provision.carrier import query
from aioparcs.provision.here import context_url, is_logged_in
from aioparcs.provision.plans.checks import Problem, check_hosts
from aioparcs.provision.plans.facts import ClusterFacts
from aioparcs.provision.plans.hosts import Host
from aioparcs.provision.plans.plan import Plan, Wishes, dials, leader, no_manager, plan_up, registry_of
from aioparcs.provision.ports import try_ports
from aioparcs.provision.ssh import HostError, NotLetIn, Remote, log_in
from aioparcs.provision.survey import Survey, gather, open_survey

__all__ = ["Prepared", "prepare", "unknown_keys"]


class Prepared(NamedTuple):
    """
    The hosts as they are, and what is to be done.

    Attributes:
        survey: the hosts.
        plan: the steps, or what is in the way.
        registry: the registry of the cluster.
    """

    survey: Survey
    plan: Plan
    registry: str


@asynccontextmanager
async def prepare(
    hosts: Iterable[Host], wishes: Wishes, accept: Callable[[str, str], None] | None = None
) -> AsyncIterator[Prepared]:
    """
    Look at hosts and plan a cluster of them; log out when the block is left. Nothing is changed.

    Args:
        hosts: the hosts.
        wishes: what the user wants of the cluster beside them.
        accept: called with the name of a host that has no key in known_hosts and the fingerprint of the one that was
            recorded there; None refuses such hosts.

    Raises:
        HostError: a host is lost meanwhile.
        SettingError: Docker's configuration here can't be read.
    """
    async with open_survey(hosts, accept) as survey:
        if problems := survey.problems or no_manager(survey.facts):
            yield Prepared(survey, Plan((*problems, *check_hosts(survey.facts)), (), ()), "")
            return
        nodes = [host.name for host in survey.facts if host.in_swarm]
        failures, taken = await try_ports(survey.remotes, dials(survey.facts, wishes), nodes)
        cluster = await _look(survey, wishes)
        plan = plan_up(survey.facts, failures, cluster, wishes)
        if taken or (taken := await unknown_keys(survey.remotes[name].host for name in plan.managers)):
            plan = Plan((*plan.problems, *taken), plan.managers, ())
        yield Prepared(survey, plan, registry_of(survey.facts, wishes, cluster))


async def unknown_keys(managers: Iterable[Host]) -> list[Problem]:
    """Return the managers whose keys only the inventory knows, or that fail: jobs log in with those that ssh knows."""
    found = await gather(_unknown_key(host) for host in managers if host.key)
    problems = [Problem(one.url, one.reason, one.advice) if isinstance(one, HostError) else one for one in found]
    return [problem for problem in problems if problem]


async def _unknown_key(host: Host) -> Problem | None:
    try:
        async with log_in(host._replace(key="")):
            return None
    except NotLetIn:
        text = f"jobs log in to this manager with the keys that ssh knows, and {host.key} is none of them"
        advice = f"in ~/.ssh/config: Host {host.name}, and below it: IdentityFile {host.key}; or ssh-add {host.key}"
        return Problem(host.name, text, advice)


async def _look(survey: Survey, wishes: Wishes) -> ClusterFacts:
    """Return what there is for jobs already, as the leader and Docker's configuration here have it."""
    first = leader(survey.facts)
    context = await asyncio.to_thread(context_url, wishes.context)
    if not first.docker or not first.docker.swarm:
        return ClusterFacts(context=context)
    services = query("/services", label=[registry.LABEL])
    network, found = await survey.remotes[first.name].docker(
        ("GET", f"/networks/{wishes.network}?scope=swarm", None), ("GET", services, None)
    )
    own = str(found.body[0]["Spec"]["Labels"][registry.LABEL]) if found.body else ""
    return ClusterFacts(
        network=network.status == 200,
        registry=own,
        logged_in=bool(own) and await is_logged_in(own),
        image=await _has_image(survey.remotes[first.name], wishes.registry or own),
        context=context,
    )


async def _has_image(remote: Remote, address: str) -> bool:
    """Return whether the base image was pushed to a registry: only then does the leader know a digest of it there."""
    if not address:
        return False
    name = base_image(address)
    (image,) = await remote.docker(("GET", f"/images/{name}/json", None))
    digests = image.body.get("RepoDigests") or [] if image.status == 200 else []
    return any(digest.startswith(f"{name.rpartition(':')[0]}@") for digest in digests)
