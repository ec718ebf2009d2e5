"""Bringing a cluster up: the hosts are looked at, and the plan is made of what they are."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import NamedTuple

from aioparcs.provision.checks import check_hosts
from aioparcs.provision.hosts import Host
from aioparcs.provision.plan import Plan, dials, plan_up
from aioparcs.provision.ports import try_ports
from aioparcs.provision.survey import Survey, open_survey
from aioparcs.swarm.engine.placement import network_name

__all__ = ["Prepared", "prepare"]


class Prepared(NamedTuple):
    """
    The hosts as they are, and what is to be done.

    Attributes:
        survey: the hosts.
        plan: the steps, or what is in the way.
    """

    survey: Survey
    plan: Plan


@asynccontextmanager
async def prepare(hosts: Iterable[Host], given: Mapping[str, str]) -> AsyncIterator[Prepared]:
    """
    Look at hosts and plan a cluster of them; log out when the block is left. Nothing is changed.

    Args:
        hosts: the hosts.
        given: addresses that the user has named, by host.

    Raises:
        HostError: a host is lost meanwhile.
    """
    async with open_survey(hosts) as survey:
        if survey.problems:
            problems = (*survey.problems, *check_hosts(survey.facts)) if survey.facts else tuple(survey.problems)
            yield Prepared(survey, Plan(problems, (), ()))
            return
        nodes = [host.name for host in survey.facts if host.in_swarm]
        failures, taken = await try_ports(survey.remotes, dials(survey.facts, given), nodes)
        plan = plan_up(survey.facts, failures, await _missing_network(survey), given=given)
        if taken:
            plan = Plan((*plan.problems, *taken), plan.managers, ())
        yield Prepared(survey, plan)


async def _missing_network(survey: Survey) -> str | None:
    """Return the name of the network of the jobs, None if there is one."""
    name = network_name()
    for host in survey.facts:
        if host.docker and host.docker.swarm:
            (answer,) = await survey.remotes[host.name].docker(("GET", f"/networks/{name}?scope=swarm", None))
            return None if answer.status == 200 else name
    return name
